"""MeanAudio (arXiv 2508.06098) as text-to-audio: one evaluation of its network is a clip."""

import math
from typing import Any

from stabench.systems.tta.t5_guided import T5Guided

# The catalogue's names of the transformer by its size; "s-ac" is "s", tuned on AudioCaps.
ENTRIES = {"s": "meanaudio-s", "s-ac": "meanaudio-s-ac", "l": "meanaudio-l"}
SHARED = ("meanaudio-sound", "flan-t5-large", "clap-music-speech-audioset", "roberta-base")
MOST_STEPS = 1000
# Samples of a latent frame: two mel frames, each a hop of 256.
LATENT_HOP = 512


class MeanAudio(T5Guided):
    """MeanAudio: FLAN-T5 and CLAP, a transformer of mean velocities, a mel decoder, BigVGAN.

    `size`: "s" (120 M parameters), "s-ac" (the same, tuned on AudioCaps) or "l" (480 M).
    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds each
    under its catalogue name. `steps`: 1, or few. `guidance`: 0, as it is in the weights; 1 or more
    is the original's option and costs a second half in every evaluation. `duration_s` is rounded
    up to frames of 32 ms: 10 s are 160,256 samples at 16 kHz, never trimmed here. `variant`:
    "stock", or "graph" (sampler, decoder and vocoder of a single clip are a CUDA graph each).
    """

    title = "MeanAudio"
    sample_rate = 16_000

    def __init__(
        self,
        size: str = "s",
        steps: int = 1,
        guidance: float = 0.0,
        duration_s: float = 10.0,
        weights: str = "published",
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        if size not in ENTRIES:
            raise ValueError(f"size is {size!r}, allowed are {', '.join(ENTRIES)}")
        if not 1 <= steps <= MOST_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 1 to {MOST_STEPS}")
        if guidance != 0 and not 1 <= guidance < math.inf:
            raise ValueError(
                f"guidance is {guidance}, allowed are 0 (that in the weights) and 1 or more"
            )
        if not 0.1 <= duration_s <= 60:
            raise ValueError(f"duration_s is {duration_s}, allowed are 0.1 to 60 s")
        super().__init__(weights, variant, cache_unconditional=False, seed=seed)
        self.size, self.steps, self.guidance = size, steps, float(guidance)
        self.duration_s = float(duration_s)
        self.entries = (ENTRIES[size], *SHARED)

    @property
    def frames(self) -> int:
        """Latent frames of a clip, each LATENT_HOP samples."""
        return math.ceil(self.duration_s * self.sample_rate / LATENT_HOP)

    def provenance(self) -> dict[str, Any]:
        """Return the settings, and the sha256 of every weights file ("random" for none)."""
        empty = "of the checkpoint" if self.guidance else "none"
        return super().provenance() | {"unconditional": empty}

    def _settings(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "steps": self.steps,
            "guidance": self.guidance,
            "duration_s": self.duration_s,
        }

    def _networks(self) -> Any:
        from stabench.systems.tta.meanaudio import networks

        return networks

    def _new_prompter(self, reader: Any) -> Any:
        # It encodes no empty text: guidance is in the weights.
        return reader

    def _random_sound(self, dtype: str) -> Any:
        return self._networks().random_sound(self._architecture, self.seed, dtype)

    def _read(self, *places: Any) -> Any:
        return self._networks().read(self._architecture, *places)

    def _new_generator(self, sound: Any) -> Any:
        from stabench.systems.tta.meanaudio.generator import build_generator

        return build_generator(sound, self.steps, self.guidance, self.frames, self.variant)

    @property
    def _architecture(self) -> str:
        return self.size.partition("-")[0]
