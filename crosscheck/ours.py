"""Our side: networks filled from a checkpoint file, and files as waveforms."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stabench.metrics.audio import load

if TYPE_CHECKING:
    from stabench.metrics.contract import Embedder, TextAudioEmbedder


def vggish(checkpoint: Path) -> "Embedder":
    """Return our VGGish with these weights, loaded."""
    from stabench.metrics.embedders import published

    return _load(published.vggish(str(checkpoint)))


def cnn14(checkpoint: Path) -> "Embedder":
    """Return our CNN14 of 16 kHz with these weights, loaded."""
    from stabench.metrics.embedders import published

    return _load(published.cnn14_16k(str(checkpoint)))


def clap(checkpoint: Path, architecture: str) -> "TextAudioEmbedder":
    """Return our CLAP of laion_clap's `architecture` with these weights, loaded.

    Captions are numbered by words on both sides: roberta-base's tokenizer may not be there, and
    the networks are compared, not the tokenizers.
    """
    from stabench.metrics.embedders import laion, published
    from stabench.metrics.embedders.clap import ClapEmbedder
    from stabench.metrics.embedders.tokens import StandInTokens
    from stabench.metrics.embedders.weight_sources import Published

    size = {"HTSAT-tiny": published.TINY, "HTSAT-base": published.BASE}[architecture]
    source = Published(checkpoint, laion.translate)
    return _load(ClapEmbedder(source, StandInTokens(), None, laion.config(*size)))


def waveform(path: Path, rate_hz: int) -> np.ndarray:
    """Return a file's channels averaged, resampled by our windowed sinc.

    Its mean stays, as in peers.
    """
    return load(path, rate_hz, channels="mean", remove_dc=False)


def embeddings(embedder: "Embedder", waveforms: list[np.ndarray]) -> np.ndarray:
    """Return all rows [F, D] of all waveforms, in their order."""
    return np.concatenate([each.embeddings for each in embedder.embed(waveforms)])


def _load(embedder: "Embedder") -> "Embedder":
    embedder.load("cpu")
    return embedder
