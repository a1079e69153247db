"""AUDIT as text-to-audio: its public implementation, the recipe of Amphion.

The editing model of the paper (arXiv 2304.00830) was never released; numbers of this recipe are
not the paper's.
"""

from typing import Any

from stabench.systems.tta.t5_guided import T5Guided

# The names in the catalogue by the size of the latents.
ENTRIES = {(5, 39): ("audit", "t5-base"), (10, 78): ("audit-10-78", "t5-base")}
TRAIN_STEPS = 1000
SCHEDULE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}


class Audit(T5Guided):
    """Amphion's text-to-audio model: T5-base read without a mask, PNDM, no autoencoder scale.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `audit/` (or `audit-10-78/`), laid out as Amphion's repository, and `t5-base/`. `steps` PNDM
    steps are `steps` + 1 network calls; e = e_empty + guidance (e_words - e_empty). `latent`
    (5, 39) or (10, 78), each with weights of its own. A clip is 159,744 samples (9.984 s).
    `cache_unconditional`: the empty text, whose states depend on the prompt's length here, is
    encoded once for each length. `variant`: "stock", or "graph" (every UNet call of a single
    clip is one CUDA graph).
    """

    title = "AUDIT"
    sample_rate = 16_000

    def __init__(
        self,
        steps: int = 200,
        guidance: float = 4.0,
        latent: tuple[int, int] = (5, 39),
        weights: str = "published",
        cache_unconditional: bool = False,
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        if not 4 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 4 to {TRAIN_STEPS}")
        if tuple(latent) not in ENTRIES:
            raise ValueError(f"latent is {latent}, allowed are (5, 39) and (10, 78)")
        super().__init__(weights, variant, cache_unconditional, seed)
        self.steps, self.guidance = steps, guidance
        self.latent = (int(latent[0]), int(latent[1]))
        self.entries = ENTRIES[self.latent]

    def _settings(self) -> dict[str, Any]:
        return {"steps": self.steps, "guidance": self.guidance, "latent": list(self.latent)}

    def _networks(self) -> Any:
        from stabench.systems.tta import audit_networks

        return audit_networks

    def _random_sound(self, dtype: str) -> Any:
        return self._networks().random_sound(self.latent, self.seed, dtype)

    def _read(self, *places: Any) -> Any:
        return self._networks().read(*places, self.latent)

    def _reader_options(self) -> dict[str, Any]:
        return {"masked": False}

    def _new_generator(self, sound: Any) -> Any:
        from stabench.systems.tta.latent_diffusion.generator import LdmGenerator, predictor

        latent = (sound.unet.config.in_channels, *self.latent)
        return LdmGenerator(
            sound,
            latent=latent,
            **predictor(sound.unet, latent, self.guidance, self.variant),
            draws=0,
            schedule=self._schedule,
            frames=lambda mel: mel[:, 0].transpose(1, 2),
            rate_hz=self.sample_rate,
        )

    def _schedule(self, noise: Any) -> Any:
        from diffusers.schedulers.scheduling_pndm import PNDMScheduler

        from stabench.systems.tta.latent_diffusion.sampler import Schedule

        stock = PNDMScheduler(**SCHEDULE)
        stock.set_timesteps(self.steps)
        # Untyped in diffusers, where it begins as None.
        timesteps: Any = stock.timesteps
        times = timesteps.tolist()

        def step(output: Any, index: int, latents: Any) -> Any:
            return stock.step(output, times[index], latents, return_dict=False)[0]

        return Schedule(timesteps, step)
