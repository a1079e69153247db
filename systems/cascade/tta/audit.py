"""AUDIT as text-to-audio: its public implementation, the recipe of Amphion.

The editing model of the paper (arXiv 2304.00830) was never released; numbers of this recipe are
not the paper's.
"""

from typing import Any

from systems.contract import Spans, Waveform
from systems.star.star import DTYPES

ENTRIES = {(5, 39): ("audit", "t5-base"), (10, 78): ("audit-10-78", "t5-base")}
"""Names in the catalogue by the size of the latents."""
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


class Audit:
    """Amphion's text-to-audio model: T5-base read without a mask, PNDM, no autoencoder scale.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `audit/` (or `audit-10-78/`), laid out as Amphion's repository, and `t5-base/`. `steps` PNDM
    steps are `steps` + 1 network calls; e = e_empty + guidance (e_words - e_empty). `latent`
    (5, 39) or (10, 78), each with weights of its own. A clip is 159,744 samples (9.984 s).
    `cache_unconditional`: the empty text, whose states depend on the prompt's length here, is
    encoded once for each length.
    """

    sample_rate = 16_000

    def __init__(
        self,
        steps: int = 200,
        guidance: float = 4.0,
        latent: tuple[int, int] = (5, 39),
        weights: str = "published",
        cache_unconditional: bool = False,
        seed: int = 0,
    ) -> None:
        if not 4 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 4 to {TRAIN_STEPS}")
        if tuple(latent) not in ENTRIES:
            raise ValueError(f"latent is {latent}, allowed are (5, 39) and (10, 78)")
        self.steps, self.guidance, self.weights = steps, guidance, str(weights)
        self.latent = (int(latent[0]), int(latent[1]))
        self.cache_unconditional, self.seed = cache_unconditional, seed
        self.generator: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read the weights. FileNotFoundError: a file is missing; ValueError: it is damaged or of
        another model; both name it."""
        from systems.cascade.tta import audit_networks
        from systems.cascade.tta.ldm_generator import LdmGenerator
        from systems.cascade.tta.ldm_prompt import T5Prompter
        from systems.cascade.tta.ldm_weights import RANDOM, places, sha256_of

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        entries = ENTRIES[self.latent]
        sha256_of(self.weights, entries)
        if self.weights == RANDOM:
            networks = audit_networks.random(self.latent, self.seed, dtype)
        else:
            folders = places(self.weights, entries).values()
            networks = audit_networks.read(*folders, self.latent)
        networks.to(device, dtype)
        self.prompter = T5Prompter(
            networks.tokenize,
            networks.text_encoder,
            masked=False,
            cached=self.cache_unconditional,
        )
        self.generator = LdmGenerator(
            networks,
            latent=(networks.unet.config.in_channels, *self.latent),
            guidance=self.guidance,
            draws=0,
            schedule=self._schedule,
            frames=lambda mel: mel[:, 0].transpose(1, 2),
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
            "latent": list(self.latent),
            "unconditional": "cached" if self.cache_unconditional else "with every clip",
            "weights": sha256_of(self.weights, ENTRIES[self.latent]),
        }

    def _schedule(self, noise: Any) -> Any:
        from diffusers import PNDMScheduler

        from systems.cascade.tta.ldm_sampler import Schedule

        stock = PNDMScheduler(**SCHEDULE)
        stock.set_timesteps(self.steps)
        times = stock.timesteps.tolist()

        def step(output: Any, index: int, latents: Any) -> Any:
            return stock.step(output, times[index], latents, return_dict=False)[0]

        return Schedule(stock.timesteps, step)

    def _check_loaded(self) -> None:
        if self.generator is None:
            raise RuntimeError("AUDIT is not loaded; call load(device, dtype) first")
