"""Text to audio by flow matching: a T5 encoder in front of the DiT and VAE that STAR has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stabench.checkpoints.digests import sha256
from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.config import DTYPES, SamplerConfig, UDiTConfig, VaeConfig, to_dict

PARTS = ("text_encoder", "udit", "vae")


class DitTextToAudio:
    """STAR's twin with text input: same velocity field, sampler and decoder.

    `text_encoder` is a table of T5Config settings, the vocabulary one word a line (in `words`),
    `weights` a table of part ("text_encoder", "udit", "vae") to safetensors file.
    """

    def __init__(
        self,
        text_encoder: Mapping[str, Any],
        udit: UDiTConfig,
        vae: VaeConfig,
        sampler: SamplerConfig,
        latent_frames: int,
        text_length: int,
        words: str | Path,
        weights: Mapping[str, str | Path],
    ) -> None:
        self.settings = dict(text_encoder)
        self.udit_config, self.vae_config, self.sampler = udit, vae, sampler
        self.latent_frames, self.text_length = latent_frames, text_length
        self.words, self.weights = Path(words), {part: Path(weights[part]) for part in PARTS}
        self.sample_rate = vae.sample_rate_hz
        self.generator: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Build and fill the networks. FileNotFoundError: a file is missing; ValueError: unfit."""
        import torch
        from transformers import T5Config, T5EncoderModel

        from stabench.systems.networks.checkpoint import load_part
        from stabench.systems.networks.latent_generator import LatentGenerator
        from stabench.systems.networks.udit import UDiT
        from stabench.systems.networks.vae import build_vae
        from stabench.systems.tta.word_tokenizer import WordTokenizer

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        self.tokenizer = WordTokenizer.read(self.words)
        self.text_encoder = T5EncoderModel(
            T5Config(vocab_size=len(self.tokenizer), **self.settings)
        )
        udit, vae = UDiT(self.udit_config), build_vae(self.vae_config)
        for part, network in zip(PARTS, (self.text_encoder, udit, vae), strict=True):
            load_part(self.weights[part], network)
        vae.fuse()
        kind = getattr(torch, dtype)
        for network in (self.text_encoder, udit, vae):
            network.eval().to(device, kind)
        self.device = device
        self.generator = LatentGenerator(udit, vae, self.sampler, self.latent_frames)

    def encode(self, text: str, spans: Spans) -> Any:
        """One text to context tokens [1, L, W], L its number of words (at most `text_length`)."""
        import torch

        self._check_loaded()
        with torch.inference_mode(), spans("text_encoder"):
            numbers = self.tokenizer.numbers(text)[: self.text_length]
            ids = torch.tensor([numbers], device=self.device)
            return self.text_encoder(input_ids=ids).last_hidden_state

    def generate(self, contexts: list[Any], seeds: list[int], spans: Spans) -> list[Waveform]:
        """One waveform for each context; see LatentGenerator."""
        self._check_loaded()
        return self.generator.generate(contexts, seeds, spans)

    def provenance(self) -> dict[str, Any]:
        """Sizes, sampler, and the sha256 of each part's weights."""
        return {
            "text_encoder": self.settings,
            "udit": to_dict(self.udit_config),
            "sampler": to_dict(self.sampler),
            "weights": {part: sha256(path) for part, path in self.weights.items()},
        }

    def _check_loaded(self) -> None:
        if self.generator is None:
            raise RuntimeError(
                "the text-to-audio model is not loaded; call load(device, dtype) first"
            )
