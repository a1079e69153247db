"""TANGO 2 as text-to-audio: FLAN-T5, a latent diffusion UNet, a mel autoencoder, HiFi-GAN.

Written from the facts of the published checkpoint; declare-lab's code (CC-BY-NC-ND) is not used.
"""

from typing import Any

from systems.contract import Spans, Waveform
from systems.star.star import DTYPES

ENTRIES = ("tango2", "flan-t5-large")
LATENT = (8, 256, 16)
TRAIN_STEPS = 1000
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
"""Of stabilityai/stable-diffusion-2-1, whose repository is no longer served."""


class Tango2:
    """TANGO 2 from its original checkpoint files (hub declare-lab/tango2).

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `tango2/` and `flan-t5-large/` with the published file names. DDPM, `steps` steps with noise in
    each; e = e_empty + guidance (e_words - e_empty). A clip is 163,872 samples (10.242 s), never
    trimmed here. `cache_unconditional`: the empty text is encoded once, not with every clip.
    """

    sample_rate = 16_000

    def __init__(
        self,
        steps: int = 200,
        guidance: float = 3.0,
        weights: str = "published",
        cache_unconditional: bool = False,
        seed: int = 0,
    ) -> None:
        if not 1 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 1 to {TRAIN_STEPS}")
        self.steps, self.guidance, self.weights = steps, guidance, str(weights)
        self.cache_unconditional, self.seed = cache_unconditional, seed
        self.generator: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read the weights. FileNotFoundError: a file is missing; ValueError: it is damaged or of
        another model; both name it."""
        from systems.cascade.tta import tango2_networks
        from systems.cascade.tta.ldm_generator import LdmGenerator
        from systems.cascade.tta.ldm_prompt import T5Prompter
        from systems.cascade.tta.ldm_weights import RANDOM, places, sha256_of

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        sha256_of(self.weights, ENTRIES)
        if self.weights == RANDOM:
            networks = tango2_networks.random(self.seed, dtype)
        else:
            networks = tango2_networks.read(*places(self.weights, ENTRIES).values())
        networks.to(device, dtype)
        self.prompter = T5Prompter(
            networks.tokenize, networks.text_encoder, cached=self.cache_unconditional
        )
        self.prompter.warm()
        self.generator = LdmGenerator(
            networks,
            latent=LATENT,
            guidance=self.guidance,
            draws=self.steps,
            schedule=self._schedule,
            frames=lambda mel: mel[:, 0],
            rate_hz=self.sample_rate,
        )

    def encode(self, text: str, spans: Spans) -> Any:
        """States of the text and of the empty text, of its length; at most 512 tokens."""
        self._check_loaded()
        return self.prompter(text, spans)

    def generate(self, contexts: list[Any], seeds: list[int], spans: Spans) -> list[Waveform]:
        """One waveform for each context; see LdmGenerator."""
        self._check_loaded()
        return self.generator.generate(contexts, seeds, spans)

    def provenance(self) -> dict[str, Any]:
        """The settings, and the sha256 of every weights file ("random" for none)."""
        from systems.cascade.tta.ldm_weights import sha256_of

        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "unconditional": "cached" if self.cache_unconditional else "with every clip",
            "weights": sha256_of(self.weights, ENTRIES),
        }

    def _schedule(self, noise: Any) -> Any:
        from diffusers import DDPMScheduler

        from systems.cascade.tta.ldm_sampler import ancestral

        stock = DDPMScheduler(**SCHEDULE)
        stock.set_timesteps(self.steps)
        return ancestral(stock.alphas_cumprod, stock.timesteps, noise)

    def _check_loaded(self) -> None:
        if self.generator is None:
            raise RuntimeError("TANGO 2 is not loaded; call load(device, dtype) first")
