"""AudioLDM 2 (arXiv 2308.05734) as a cascade's generator, on stock diffusers and transformers."""

import importlib.metadata
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.config import DTYPES
from stabench.systems.tta import t5_guided

PUBLISHED, RANDOM = "published", "random"
# The sizes, and the catalogue's names of their weights.
ENTRIES = {"base": "audioldm2", "large": "audioldm2-large"}
# FLAN-T5 lengths whose unconditional half is made while loading; longer texts make theirs once.
CACHED_LENGTHS = range(1, 41)


class Context(NamedTuple):
    """One encoded text: its own Prompt, and the unconditional one where guidance needs it."""

    conditional: Any
    unconditional: Any


class AudioLdm2:
    """Text to 16 kHz sound: DDIM (eta 0) with guidance, VAE, HiFi-GAN.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder in the hub's
    layout, or one that holds it as `audioldm2/` or `audioldm2-large/`. With more than one of
    `candidates` the one that CLAP hears as closest to the text is returned. A clip is
    `duration_s` long to the sample: 160,000 for 10 s, cut from HiFi-GAN's output as diffusers does.
    The unconditional half depends on the text by its number of FLAN-T5 tokens, so one is kept for
    every number when `cache_unconditional`. Noise is float32 from the CPU, the candidates of a
    clip one after another from its seed. `variant`: "stock", or "graph" (every UNet call of a
    single clip is one CUDA graph; FLAN-T5's states are padded for it, which changes rounding only).
    """

    sample_rate = 16_000

    def __init__(
        self,
        size: str = "base",
        candidates: int = 1,
        steps: int = 200,
        guidance: float = 3.5,
        duration_s: float = 10.0,
        weights: str | Path = PUBLISHED,
        cache_unconditional: bool = False,
        seed: int = 0,
        variant: str = "stock",
    ) -> None:
        if size not in ENTRIES:
            raise ValueError(f"size is {size!r}, allowed are {', '.join(ENTRIES)}")
        if candidates < 1 or not 1 <= steps <= 999:
            raise ValueError(
                f"candidates is {candidates}, steps {steps}; allowed are 1 or more, and 1 to 999"
            )
        if not 0.04 <= duration_s <= 60:
            raise ValueError(f"duration_s is {duration_s}, allowed are 0.04 to 60 s")
        self.size, self.candidates, self.steps = size, candidates, steps
        self.guidance, self.duration_s = float(guidance), float(duration_s)
        self.weights, self.seed = weights, seed
        self.cache_unconditional, self.variant = cache_unconditional, t5_guided.checked(variant)
        self._unconditional: dict[int, Any] = {}
        self._files: dict[str, str] | None = None
        self.parts: Any = None
        self._predict: Any = None

    @property
    def guided(self) -> bool:
        """Whether there is an unconditional half."""
        return self.guidance > 1.0

    @property
    def samples(self) -> int:
        """Length of a clip."""
        return int(self.duration_s * self.sample_rate)

    def load(self, device: str, dtype: str) -> None:
        """Read or draw the weights; see audioldm2_folder.read for what is raised."""
        import torch

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        from stabench.systems.tta.audioldm2.prompt import PromptStack

        self.device, self.dtype = device, getattr(torch, dtype)
        self._predict = None
        self.parts = self._read()
        # On the CPU: a scheduler that looks its steps up on a GPU waits for it twice a step.
        self.parts.scheduler.set_timesteps(self.steps)
        self._timesteps = self.parts.scheduler.timesteps.to(device)
        self._stack = PromptStack(self.parts, device)
        if self.cache_unconditional and self.guided:
            with torch.inference_mode():
                clap = self._stack.clap("")
                self._unconditional = {n: self._stack.encode("", n, clap) for n in CACHED_LENGTHS}
        if self.weights != RANDOM:
            self._check_fit()
            self.load_generator()

    def load_generator(self) -> None:
        """Build what only `generate` needs, if it is not there."""
        self._check_loaded()
        if self.parts.unet is None:
            from stabench.systems.tta.audioldm2.random import sound_side

            networks = sound_side(self.size, self.device, self.dtype, self.seed)
            self.parts = self.parts._replace(**networks)
        if self._predict is None:
            from stabench.systems.networks.cuda_graph import GraphedStep
            from stabench.systems.tta.audioldm2.sampler import guided

            # One call of the UNet: as it is, or as a CUDA graph for a single clip.
            step = guided(self.parts.unet, self.guidance)
            graphed = self.variant == t5_guided.GRAPH
            self._predict = GraphedStep(step, [self._example()]) if graphed else step

    def encode(self, text: str, spans: Spans) -> Context:
        """Marks "text_encoder.cond" and, where guidance needs what is not kept yet,
        "text_encoder.uncond". Neither waits for the device."""
        import torch

        self._check_loaded()
        with torch.inference_mode():
            with spans("text_encoder.cond"):
                conditional = self._stack.encode(text)
            if not self.guided:
                return Context(conditional, None)
            length = conditional.mask.shape[1]
            unconditional = self._unconditional.get(length)
            if unconditional is None:
                with spans("text_encoder.uncond"):
                    unconditional = self._stack.encode("", length)
            if self.cache_unconditional:
                self._unconditional[length] = unconditional
        return Context(conditional, unconditional)

    def generate(self, contexts: list[Context], seeds: list[int], spans: Spans) -> list[Waveform]:
        """Marks "sampler", "decoder", "vocoder" and, with more than one candidate, "ranking".

        The host waits for the device once in "vocoder", for the waveform, and once in "ranking".
        """
        import torch

        self.load_generator()
        if len(seeds) != len(contexts):
            raise ValueError(f"{len(contexts)} clips, but {len(seeds)} seeds; give one each")
        if not contexts:
            return []
        with torch.inference_mode():
            with spans("sampler"):
                latents = self._sample(contexts, seeds)
            with spans("decoder"):
                mel = self._mel(latents)
            with spans("vocoder"):
                # Frames were rounded up for the VAE, so that the end of the sound is cut off.
                sound = self.parts.vocoder(mel[:, 0]).cpu().float()[:, : self.samples]
            if self.candidates > 1:
                with spans("ranking"):
                    sound = self._best(sound, contexts)
        return [Waveform(np.ascontiguousarray(row), self.sample_rate) for row in sound.numpy()]

    def eager(self) -> AbstractContextManager[None]:
        """No CUDA graph is replayed inside; see systems.contract.Eager."""
        from stabench.systems.networks.cuda_graph import without_graphs

        return without_graphs()

    def provenance(self) -> dict[str, Any]:
        """Settings, versions, and the sha256 of the weights, or "random"."""
        rule = "cached by number of tokens" if self.cache_unconditional else "encoded every time"
        return {
            "model": ENTRIES[self.size],
            "weights": self._digests(),
            "seed": self.seed if self.weights == RANDOM else None,
            "unet_widths": self._unet_widths(),
            "sampler": {"name": "DDIM", "eta": 0.0, "steps": self.steps, "guidance": self.guidance},
            "variant": self.variant,
            "candidates": self.candidates,
            "ranking": "CLAP of the checkpoint" if self.candidates > 1 else None,
            "samples": self.samples,
            "unconditional": rule if self.guided else "none",
            "noise": "float32 on the CPU, one generator a clip",
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("diffusers", "torch", "transformers")
            },
        }

    def _read(self) -> Any:
        """The parts on the device; random ones without those of SOUND."""
        if self.weights == RANDOM:
            from stabench.systems.tta.audioldm2.random import text_side

            return text_side(self.size, self.device, self.dtype, self.seed)
        from stabench.systems.tta.audioldm2.folder import NETWORKS, read

        parts = read(self._folder(), self.dtype)
        for name in NETWORKS:
            getattr(parts, name).to(self.device)
        return parts

    def _folder(self) -> Path:
        """Where the weights are; published ones are checked file by file."""
        from stabench.checkpoints import catalogue, store

        name = ENTRIES[self.size]
        if self.weights != PUBLISHED:
            inner = Path(self.weights) / name
            return inner if inner.is_dir() else Path(self.weights)
        folder = store.locate(name)
        self._files = store.verify(folder, catalogue.entry(name))
        return folder

    def _digests(self) -> Any:
        if self.weights == RANDOM:
            return RANDOM
        if self.weights == PUBLISHED:
            return self._files
        from stabench.checkpoints.digests import digest

        files = sorted(self._folder().glob("*/*.safetensors"))
        return {file.parent.name: digest(file) for file in files}

    def _unet_widths(self) -> list[int] | None:
        if self.weights == RANDOM:
            from stabench.systems.tta.audioldm2.random import UNET_WIDTHS

            return list(UNET_WIDTHS[self.size])
        return None if self.parts is None else list(self.parts.unet.config.block_out_channels)

    def _sample(self, contexts: list[Context], seeds: list[int]) -> Any:
        """Latents [B candidates, C, T, F]."""
        from stabench.systems.networks.flow_sampler import noise
        from stabench.systems.tta.audioldm2.sampler import conditions, denoise, widened

        prompts = [context.conditional for context in contexts]
        if self.guided:
            prompts = [context.unconditional for context in contexts] + prompts
        batch = conditions(prompts, self.candidates)
        if self.variant == t5_guided.GRAPH:
            batch = widened(batch, t5_guided.LONGEST)
        start = noise(seeds, (self.candidates, *self._latent_shape())).flatten(0, 1)
        start = start.to(self.device, self.dtype)
        return denoise(self._predict, self.parts.scheduler, self._timesteps, start, batch)

    def _example(self) -> tuple[Any, ...]:
        """Latents, time step and conditions of one clip."""
        import torch

        rows = self.candidates * (2 if self.guided else 1)
        gpt2, t5 = self.parts.language_model.config, self.parts.text_encoder_2.config
        place = {"device": self.device, "dtype": self.dtype}
        return (
            torch.zeros(self.candidates, *self._latent_shape(), **place),
            self._timesteps[0],
            torch.zeros(rows, t5_guided.LONGEST, t5.d_model, **place),
            torch.ones(rows, t5_guided.LONGEST, dtype=torch.int64, device=self.device),
            torch.zeros(rows, gpt2.max_new_tokens, gpt2.n_embd, **place),
        )

    def _latent_shape(self) -> tuple[int, int, int]:
        """[C, T, F]; frames are rounded up to what the VAE can halve."""
        unet, vae, vocoder = (
            part.config for part in (self.parts.unet, self.parts.vae, self.parts.vocoder)
        )
        # Every level of the VAE but the last halves time and frequency.
        factor = 2 ** (len(vae.block_out_channels) - 1)
        frame_s = np.prod(vocoder.upsample_rates) / vocoder.sampling_rate
        frames = int(self.duration_s / frame_s)
        return unet.in_channels, -(-frames // factor), vocoder.model_in_dim // factor

    def _mel(self, latents: Any) -> Any:
        """Log-mel spectrograms [B, 1, T, F] of latents."""
        # Latents are stored times this factor, which brings them to about unit variance.
        vae = self.parts.vae
        return vae.decode(1 / vae.config.scaling_factor * latents).sample

    def _best(self, sound: Any, contexts: list[Context]) -> Any:
        """Of each clip's candidates [B n, N] the one that fits its text, [B, N]."""
        import torch

        from stabench.systems.tta.audioldm2.sampler import best

        heard = sound.unflatten(0, (len(contexts), self.candidates))
        texts = torch.cat([context.conditional.clap for context in contexts])
        clap, extractor = self.parts.text_encoder, self.parts.feature_extractor
        chosen = best(clap, extractor, heard, self.sample_rate, texts)
        return heard[torch.arange(len(contexts)), chosen]

    def _check_fit(self) -> None:
        """ValueError where the weights are of another size or rate."""
        from stabench.systems.tta.audioldm2.random import UNET_WIDTHS

        rate_hz = self.parts.vocoder.config.sampling_rate
        if rate_hz != self.sample_rate:
            raise ValueError(
                f"vocoder/config.json: sampling_rate is {rate_hz}, expected {self.sample_rate} Hz; "
                "use a 16 kHz AudioLDM 2"
            )
        widths = tuple(self.parts.unet.config.block_out_channels)
        for size, published in UNET_WIDTHS.items():
            if widths == published and size != self.size:
                raise ValueError(
                    f"unet/config.json: size is {size!r}, asked is {self.size!r}; set size = "
                    f"{size!r}, or give other weights"
                )

    def _check_loaded(self) -> None:
        if self.parts is None:
            raise RuntimeError("AudioLDM 2 is not loaded; call load(device, dtype) first")
