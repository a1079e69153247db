"""EzAudio as text-to-audio: STAR's twin with text input, hence the controlled comparison."""

from typing import Any

from systems.contract import Spans, Waveform
from systems.star.star import DTYPES

ENTRIES = ("ezaudio-l", "ezaudio-vae", "flan-t5-large")
TRAIN_STEPS = 1000


class EzAudio:
    """EzAudio-L: FLAN-T5, the DiT and the VAE of STAR's classes, DDIM on v.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `ezaudio-l/` (its .pt file), `ezaudio-vae/` and `flan-t5-large/`. Text is padded to 100 tokens
    and masked, the empty text as well. Defaults are those of the original's interface: 100 steps,
    guidance 5, of which a share `rescale` is rescaled, full noise (`eta` 1). `latent_frames` are
    at 50 Hz: 500 give 240,000 samples (10 s). `cache_unconditional`: the empty text is encoded
    once, not with every clip.
    """

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
    ) -> None:
        if not 1 <= steps <= TRAIN_STEPS:
            raise ValueError(f"steps is {steps}, allowed are 1 to {TRAIN_STEPS}")
        for name, value in (("rescale", rescale), ("eta", eta)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, allowed are 0 to 1")
        self.steps, self.guidance, self.rescale, self.eta = steps, guidance, rescale, eta
        self.latent_frames, self.weights = latent_frames, str(weights)
        self.cache_unconditional, self.seed = cache_unconditional, seed
        self.networks: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read the weights. FileNotFoundError: a file is missing; ValueError: it is damaged or of
        another model; both name it."""
        from systems.cascade.tta import ezaudio_networks
        from systems.cascade.tta.ldm_prompt import T5Prompter
        from systems.cascade.tta.ldm_weights import RANDOM, places, sha256_of

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        sha256_of(self.weights, ENTRIES)
        if self.weights == RANDOM:
            networks = ezaudio_networks.random(self.seed, dtype)
        else:
            networks = ezaudio_networks.read(*places(self.weights, ENTRIES).values())
        if networks.vae.sample_rate_hz != self.sample_rate:
            raise ValueError(
                f"the VAE's config.json says {networks.vae.sample_rate_hz} Hz, expected"
                f" {self.sample_rate}; use the published one"
            )
        self.prompter = T5Prompter(
            networks.tokenize,
            networks.text_encoder,
            length=ezaudio_networks.TOKENS,
            cached=self.cache_unconditional,
        )
        self.networks = networks.to(device, dtype)
        self.prompter.warm()

    def encode(self, text: str, spans: Spans) -> Any:
        """States of the text and of the empty text, both of 100 tokens."""
        self._loaded()
        return self.prompter(text, spans)

    def generate(self, contexts: list[Any], seeds: list[int], spans: Spans) -> list[Waveform]:
        """One waveform for each context. One host synchronisation, to fetch the samples."""
        import torch

        from systems.cascade.tta.ezaudio_sampler import EzSampler
        from systems.cascade.tta.ldm_prompt import gather

        networks = self._loaded()
        if len(seeds) != len(contexts):
            raise ValueError(f"{len(contexts)} clips, but {len(seeds)} seeds; give one each")
        if not contexts:
            return []
        sampler = EzSampler(self.steps, self.guidance, self.rescale, self.eta, self.latent_frames)
        with torch.inference_mode():
            with spans("sampler"):
                latents = sampler.sample(networks.udit, gather(contexts), seeds)
            with spans("decoder"):
                kind = contexts[0].words.dtype
                sound = networks.vae.decode(latents.to(kind))[:, 0].float().cpu().numpy()
        return [Waveform(samples, self.sample_rate) for samples in sound]

    def provenance(self) -> dict[str, Any]:
        """The settings, and the sha256 of every weights file ("random" for none)."""
        from systems.cascade.tta.ldm_weights import sha256_of

        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "rescale": self.rescale,
            "eta": self.eta,
            "latent_frames": self.latent_frames,
            "unconditional": "cached" if self.cache_unconditional else "with every clip",
            "weights": sha256_of(self.weights, ENTRIES),
        }

    def _loaded(self) -> Any:
        if self.networks is None:
            raise RuntimeError("EzAudio is not loaded; call load(device, dtype) first")
        return self.networks
