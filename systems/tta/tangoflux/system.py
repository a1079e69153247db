"""TangoFlux (arXiv 2412.21037) as text-to-audio: rectified flow through FLUX's blocks, in 44.1 kHz.

Facts: declare-lab/TangoFlux (tangoflux/__init__.py, tangoflux/model.py, tangoflux/cli.py,
README.md); none of its code is used.
"""

from typing import Any

from stabench.systems.networks.config import check_one_of
from stabench.systems.tta.t5_guided import GRAPH, T5Guided, check_whole

# The range of its command line. 30 s end at 29.95 s, with the last sample of its 645 latents.
SHORTEST_S, LONGEST_S = 1, 30
MOST_STEPS = 1000


class TangoFlux(T5Guided):
    """TangoFlux from its published files (hub declare-lab/TangoFlux).

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `tangoflux/` and `flan-t5-large/` with the published file names. `steps` Euler steps: 50 is what
    its paper, README and command line take, 25 its Python default ("similar quality, faster").
    v = v_empty + guidance (v_words - v_empty). The network always makes 30 s, conditioned on
    `duration_s` (1 to 30), and the sound is cut to it. `channels`: the one channel of the sound is
    the "mean" of both, or the "first". `cache_unconditional`: the empty text, whose states depend
    on the prompt's length here, is encoded once for each length. `variant`: "stock", or "graph"
    (all steps of a single clip are one CUDA graph; the decoder leaves out latents that are cut).
    """

    title = "TangoFlux"
    entries = ("tangoflux", "flan-t5-large")
    sample_rate = 44_100

    def __init__(
        self,
        steps: int = 50,
        guidance: float = 4.5,
        weights: str = "published",
        cache_unconditional: bool = False,
        duration_s: float = 10.0,
        channels: str = "mean",
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        from stabench.systems.tta.oobleck import CHANNELS

        check_whole("steps", steps, 1, MOST_STEPS)
        if not SHORTEST_S <= duration_s <= LONGEST_S:
            raise ValueError(
                f"duration_s is {duration_s}, allowed are {SHORTEST_S} to {LONGEST_S} seconds"
            )
        check_one_of("channels", channels, CHANNELS)
        super().__init__(weights, variant, cache_unconditional, seed)
        self.steps, self.guidance = steps, guidance
        self.duration_s, self.channels = float(duration_s), channels

    def _settings(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "duration_s": self.duration_s,
            "channels": self.channels,
        }

    def _networks(self) -> Any:
        from stabench.systems.tta.tangoflux import networks

        return networks

    def _reader_options(self) -> dict[str, Any]:
        return {"by_length": True}

    def _new_generator(self, sound: Any) -> Any:
        from stabench.systems.tta.oobleck import StereoGenerator
        from stabench.systems.tta.tangoflux.sampler import FluxSampler

        return StereoGenerator(
            FluxSampler(sound.field, self.steps, self.guidance, self.duration_s, self.variant),
            sound.vae,
            int(self.duration_s * self.sample_rate),
            self.channels,
            cropped=self.variant == GRAPH,
        )
