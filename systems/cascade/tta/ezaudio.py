"""EzAudio as text-to-audio: STAR's twin with text input, hence the controlled comparison."""

from typing import Any

from systems.cascade.tta.t5_guided import T5Guided

TRAIN_STEPS = 1000


class EzAudio(T5Guided):
    """EzAudio-L: FLAN-T5, the DiT and the VAE of STAR's classes, DDIM on v.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `ezaudio-l/` (its .pt file), `ezaudio-vae/` and `flan-t5-large/`. Text is padded to 100 tokens
    and masked, the empty text as well. Defaults are those of the original's interface: 100 steps,
    guidance 5, of which a share `rescale` is rescaled, full noise (`eta` 1). `latent_frames` are
    at 50 Hz: 500 give 240,000 samples (10 s). `cache_unconditional`: the empty text is encoded
    once, not with every clip. `variant`: "stock", or "graph" (all steps of a single clip are one
    CUDA graph).
    """

    title = "EzAudio"
    entries = ("ezaudio-l", "ezaudio-vae", "flan-t5-large")
    sample_rate = 24_000

    def __init__(
        self,
        steps: int = 100,
        guidance: float = 5.0,
        weights: str = "published",
        cache_unconditional: bool = False,
        rescale: float = 0.75,
        eta: float = 1.0,
        latent_frames: int = 500,
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        if not 1 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 1 to {TRAIN_STEPS}")
        for name, value in (("rescale", rescale), ("eta", eta)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, allowed are 0 to 1")
        super().__init__(weights, variant, cache_unconditional, seed)
        self.steps, self.guidance, self.rescale, self.eta = steps, guidance, rescale, eta
        self.latent_frames = latent_frames

    def _settings(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "rescale": self.rescale,
            "eta": self.eta,
            "latent_frames": self.latent_frames,
        }

    def _networks(self) -> Any:
        from systems.cascade.tta import ezaudio_networks

        return ezaudio_networks

    def _reading(self) -> dict[str, Any]:
        return {"length": self._networks().TOKENS}

    def _new_generator(self, sound: Any) -> Any:
        from systems.cascade.tta.ezaudio_generator import generator
        from systems.cascade.tta.ezaudio_sampler import EzSampler

        if sound.vae.sample_rate_hz != self.sample_rate:
            raise ValueError(
                f"the VAE's config.json says {sound.vae.sample_rate_hz} Hz, expected"
                f" {self.sample_rate}; use the published one"
            )
        sampler = EzSampler(self.steps, self.guidance, self.rescale, self.eta, self.latent_frames)
        return generator(sound, sampler, self.variant)
