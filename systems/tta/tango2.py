"""TANGO 2 as text-to-audio: FLAN-T5, a latent diffusion UNet, a mel autoencoder, HiFi-GAN.

Written from the facts of the published checkpoint; declare-lab's code (CC-BY-NC-ND) is not used.
"""

from typing import Any

from stabench.systems.tta.t5_guided import T5Guided

LATENT = (8, 256, 16)
TRAIN_STEPS = 1000
# The scheduler of stabilityai/stable-diffusion-2-1, whose repository is no longer served.
SCHEDULE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


class Tango2(T5Guided):
    """TANGO 2 from its original checkpoint files (hub declare-lab/tango2).

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `tango2/` and `flan-t5-large/` with the published file names. DDPM, `steps` steps with noise in
    each; e = e_empty + guidance (e_words - e_empty). A clip is 163,872 samples (10.242 s), never
    trimmed here. `cache_unconditional`: the empty text is encoded once, not with every clip.
    `variant`: "stock", or "graph" (every UNet call of a single clip is one CUDA graph).
    """

    title = "TANGO 2"
    entries = ("tango2", "flan-t5-large")
    sample_rate = 16_000

    def __init__(
        self,
        steps: int = 200,
        guidance: float = 3.0,
        weights: str = "published",
        cache_unconditional: bool = False,
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        if not 1 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 1 to {TRAIN_STEPS}")
        super().__init__(weights, variant, cache_unconditional, seed)
        self.steps, self.guidance = steps, guidance

    def _settings(self) -> dict[str, Any]:
        return {"steps": self.steps, "guidance": self.guidance}

    def _networks(self) -> Any:
        from stabench.systems.tta import tango2_networks

        return tango2_networks

    def _new_generator(self, sound: Any) -> Any:
        from stabench.systems.tta.latent_diffusion.generator import LdmGenerator, predictor

        return LdmGenerator(
            sound,
            latent=LATENT,
            **predictor(sound.unet, LATENT, self.guidance, self.variant),
            draws=self.steps,
            schedule=self._schedule,
            frames=lambda mel: mel[:, 0],
            rate_hz=self.sample_rate,
        )

    def _schedule(self, noise: Any) -> Any:
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

        from stabench.systems.tta.latent_diffusion.sampler import ancestral

        stock = DDPMScheduler(**SCHEDULE)
        stock.set_timesteps(self.steps)
        return ancestral(stock.alphas_cumprod, stock.timesteps, noise)
