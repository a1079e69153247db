"""What an embedder is: a network that turns audio (or text) into embeddings or class logits."""

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

# Of the network behind the front end, which is always at least float32.
Precision = Literal["float32", "bfloat16"]


class Features(NamedTuple):
    """What one clip became: `embeddings` float32 [F, D] (F frames, or 1), `logits` [C] or None."""

    embeddings: np.ndarray
    logits: np.ndarray | None = None


class Embedder(Protocol):
    """An audio network. `embed` takes mono float32 waveforms of any length at `rate_hz`.

    One that brings along records of its examination as a judge has an attribute `examinations`:
    the folder that holds them (harness/scoring/examination.py). One that hears a clip in examples
    of a fixed length, one after the other, may have an attribute `spread`: it is set, before
    `identity` is asked for, where a protocol says `long = "windows"`, and then the examples overlap
    so that none of a clip is left out.
    """

    rate_hz: int
    # Of the weights: part of every number's provenance.
    sha256: str
    # Hex digest of all that decides a feature: weights, network, front end, labels, thresholds,
    # tokenizer, precision. Features with another identity are never taken for each other.
    identity: str
    # What the weights are: "published: <name>", "random, seed 0", "pocket", ...
    origin: str
    licence: str
    # Part of `identity`: set it, or load with it, before `identity` is asked for.
    precision: Precision

    def load(self, device: str, precision: Precision | None = None) -> None:
        """Read the weights; without `precision` the attribute decides.

        Raises FileNotFoundError with the path when they are missing, ValueError for a misfit.
        """

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return features of each waveform, to the bit independent of the other waveforms."""


@runtime_checkable
class Tagger(Embedder, Protocol):
    """An embedder whose logits are event classes; `thresholds` [C] are logits that mean "heard"."""

    labels: tuple[str, ...]
    thresholds: np.ndarray


@runtime_checkable
class TextAudioEmbedder(Embedder, Protocol):
    """A CLAP: text and audio in one space, both L2-normalised.

    One with a closed vocabulary has a method `find_unknown_words(captions) -> set[str]`: scores
    say which words of the captions it cannot tell apart.
    """

    # Seconds that are heard at once; of a longer waveform only the first are.
    longest_s: float

    def embed_text(self, captions: list[str]) -> np.ndarray:
        """Return text embeddings float32 [N, D], to the bit independent of the other captions."""
