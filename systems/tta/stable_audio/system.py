"""Stable Audio Open 1.0 (arXiv 2407.14358) as text-to-audio, as diffusers' pipeline samples it.

Facts: huggingface/diffusers (pipelines/stable_audio/pipeline_stable_audio.py).
"""

from importlib.util import find_spec
from typing import Any

from stabench.systems.networks.config import check_one_of
from stabench.systems.tta.t5_guided import GRAPH, STOCK, T5Guided, check_whole

MOST_STEPS = 1000
# 1024 latents of 2048 samples.
LONGEST_S = 47.55


class StableAudioOpen(T5Guided):
    """Stable Audio Open 1.0 from its folder in diffusers' layout (hub
    stabilityai/stable-audio-open-1.0, gated).

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `stable-audio-open/`. `steps` steps of DPM-Solver++, second order, with noise (defaults of the
    pipeline: 100, guidance 7); guidance is away from a context of zeros, so that no empty text is
    encoded. The network always makes 47.55 s, conditioned on `duration_s`, and the sound is cut to
    it. `channels`: the one channel of the sound is the "mean" of both, or the "first". `variant`:
    "stock" (the pipeline's own noise; needs torchsde), or "graph" (all steps of a single clip are
    one CUDA graph, noise is drawn beforehand, and the decoder leaves out latents that are cut).
    """

    title = "Stable Audio Open"
    entries = ("stable-audio-open",)
    sample_rate = 44_100

    def __init__(
        self,
        steps: int = 100,
        guidance: float = 7.0,
        weights: str = "published",
        duration_s: float = 10.0,
        channels: str = "mean",
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        from stabench.systems.tta.oobleck import CHANNELS

        # One step alone would begin at the lowest noise level, with the noise of the highest.
        check_whole("steps", steps, 2, MOST_STEPS)
        if not 0 < duration_s <= LONGEST_S:
            raise ValueError(
                f"duration_s is {duration_s}, allowed is more than 0, up to {LONGEST_S} seconds"
            )
        check_one_of("channels", channels, CHANNELS)
        super().__init__(weights, variant, cache_unconditional=False, seed=seed)
        self.steps, self.guidance = steps, guidance
        self.duration_s, self.channels = float(duration_s), channels

    def provenance(self) -> dict[str, Any]:
        """The settings, and the sha256 of every weights file ("random" for none)."""
        return {**super().provenance(), "unconditional": "zeros"}

    def _settings(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "duration_s": self.duration_s,
            "channels": self.channels,
        }

    def _networks(self) -> Any:
        from stabench.systems.tta.stable_audio import networks

        return networks

    def _new_prompter(self, reader: Any) -> Any:
        return self._networks().StablePrompter(*reader)

    def _read(self, *places: Any) -> Any:
        self._check_installed()
        return super()._read(*places)

    def _random_sound(self, dtype: str) -> Any:
        self._check_installed()
        return super()._random_sound(dtype)

    def _check_installed(self) -> None:
        """Raise ModuleNotFoundError where the noise of the stock variant cannot be drawn."""
        if self.variant == STOCK and find_spec("torchsde") is None:
            raise ModuleNotFoundError(
                "torchsde is not installed, whose noise variant 'stock' draws; run: pip install"
                " -c constraints.txt 'stabench[stable-audio]', or set variant = 'graph'"
            )

    def _new_generator(self, sound: Any) -> Any:
        from stabench.systems.tta.oobleck import StereoGenerator
        from stabench.systems.tta.stable_audio.sampler import StableSampler

        return StereoGenerator(
            StableSampler(sound, self.steps, self.guidance, self.duration_s, self.variant),
            sound.vae,
            int(self.duration_s * self.sample_rate),
            self.channels,
            cropped=self.variant == GRAPH,
        )
