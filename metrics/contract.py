"""What an embedder is: a network that turns audio (or text) into embeddings or class logits."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Features(NamedTuple):
    """What one clip became: `embeddings` float32 [F, D] (F frames, or 1), `logits` [C] or None."""

    embeddings: np.ndarray
    logits: np.ndarray | None = None


class Embedder(Protocol):
    """An audio network. `embed` takes mono float32 waveforms of any length at `rate_hz`."""

    rate_hz: int
    sha256: str
    """Of the weights file: part of every number's provenance."""

    def load(self, device: str) -> None:
        """Read the weights. Raises FileNotFoundError with the path when they are missing."""

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Features of each waveform; the result does not depend on the batch it came in."""


@runtime_checkable
class Tagger(Embedder, Protocol):
    """An embedder whose logits are event classes; `thresholds` [C] are logits that mean "heard"."""

    labels: tuple[str, ...]
    thresholds: np.ndarray


@runtime_checkable
class TextAudioEmbedder(Embedder, Protocol):
    """A CLAP: text and audio in one space, both L2-normalised."""

    def embed_text(self, captions: list[str]) -> np.ndarray:
        """Text embeddings float32 [N, D]."""
