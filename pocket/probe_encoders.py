"""The encoders of Table 1 in small: two read the caption, three hear it spoken."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from stabench.checkpoints.digests import digest
from stabench.pocket import embedders
from stabench.pocket.configs import CODEC, ENCODER, TEXT_ENCODER, TEXT_LENGTH, WAVLM, WEIGHTS
from stabench.systems.networks.checkpoint import load_part
from stabench.systems.networks.config import to_dict
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.speech_encoder import build_speech_encoder
from stabench.systems.training.extract import SpeechFrames
from stabench.systems.tta.word_tokenizer import WordTokenizer


class PocketSpeech(SpeechFrames):
    """Frames float32 [T, W] of 16 kHz speech by an encoder that this repository ships."""

    batch = 24

    def __init__(self, config: SpeechEncoderConfig, part: str) -> None:
        self.config, self.path = config, WEIGHTS / f"{part}.safetensors"
        self.rate_hz = config.speech_rate_hz

    def provenance(self) -> dict[str, Any]:
        """Return the sizes, and the sha256 of the weights."""
        return {"config": to_dict(self.config), "weights": digest(self.path)}

    def load(self, device: str) -> None:
        """Build and fill the network. Raises FileNotFoundError or ValueError."""
        network = build_speech_encoder(self.config)
        load_part(self.path, network)
        self._network = network.fuse().eval().requires_grad_(False).to(device)


def hubert() -> PocketSpeech:
    """Return the speech encoder of the pocket STAR."""
    return PocketSpeech(ENCODER, "speech_encoder")


def wavlm() -> PocketSpeech:
    """Return the small WavLM, which Table 1 alone uses."""
    return PocketSpeech(WAVLM, "wavlm")


def codec() -> PocketSpeech:
    """Return the codec's encoder and quantiser."""
    return PocketSpeech(CODEC, "codec")


class ClapText:
    """The caption's embedding by the text tower of the pocket CLAP, as one frame [1, W]."""

    reads: ClassVar[str] = "captions"
    rate_hz, batch, equal = 0, 32, False

    def __init__(self) -> None:
        self._embedder = embedders.clap()

    def provenance(self) -> dict[str, Any]:
        """Return the identity of the embedder: weights, network, tokenizer."""
        return {"identity": self._embedder.identity, "weights": self._embedder.sha256}

    def load(self, device: str) -> None:
        """Read the weights. Raises FileNotFoundError or ValueError."""
        self._embedder.load(device)

    def encode(self, clips: Sequence[str]) -> list[tuple[np.ndarray, ...]]:
        """Return one frame float32 [1, W] of each caption."""
        return [(row[None],) for row in self._embedder.embed_text(list(clips))]


class TextStates:
    """The states [L, W] of the pocket's T5 encoder, a frame for each word."""

    reads: ClassVar[str] = "captions"
    rate_hz, batch, equal = 0, 32, False

    def __init__(self) -> None:
        self.path, self.words = WEIGHTS / "text_encoder.safetensors", WEIGHTS / "words.txt"
        self._encoder: Any = None

    def provenance(self) -> dict[str, Any]:
        """Return the sizes, and the sha256 of weights and words."""
        files = {path.name: digest(path) for path in (self.path, self.words)}
        return {"config": dict(TEXT_ENCODER), "tokens": TEXT_LENGTH, "weights": files}

    def load(self, device: str) -> None:
        """Build and fill the network. Raises FileNotFoundError or ValueError."""
        from transformers import T5Config, T5EncoderModel

        self._tokenizer = WordTokenizer.read(self.words)
        network = T5EncoderModel(T5Config(vocab_size=len(self._tokenizer), **TEXT_ENCODER))
        load_part(self.path, network)
        self._encoder = network.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def encode(self, clips: Sequence[str]) -> list[tuple[np.ndarray, ...]]:
        """Return states float32 [L, W] of each caption, L its number of words."""
        states: list[tuple[np.ndarray, ...]] = []
        for caption in clips:
            numbers = self._tokenizer.numbers(caption)[:TEXT_LENGTH]
            ids = torch.tensor([numbers], device=self._encoder.device)
            # One at a time: padding would move the last bits.
            rows = self._encoder(input_ids=ids).last_hidden_state[0]
            states.append((rows.cpu().numpy(),))
        return states
