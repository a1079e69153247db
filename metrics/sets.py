"""What a metric may ask of the engine: sets of features, paired by clip."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from stabench.metrics.contract import Features

T = TypeVar("T")


class NotMeasurable(ValueError):
    """These clips cannot give this metric a number; the message is the reason in the table."""


class Pair(NamedTuple):
    """A generated clip, and the recordings or captions that it is paired with (at least one)."""

    gen: Features
    ref: list[Features]


class Sets(Protocol):
    """The clips that have everything a metric needs, in the order of their sorted ids."""

    # The protocol's fields: `kl_epsilon`, `is_splits`, ...
    rules: Any

    @property
    def labels(self) -> np.ndarray:
        """Which events each clip should hold: booleans [N, C]."""

    @property
    def thresholds(self) -> np.ndarray:
        """The tagger's logits [C] that mean "heard"."""

    @property
    def steps(self) -> list[tuple[tuple[int, ...], ...]]:
        """Each clip's events, step after step, as columns of the timeline's logits."""

    @property
    def window_thresholds(self) -> np.ndarray:
        """The timeline's logits [C] that mean "heard" in a window."""

    @property
    def texts(self) -> list[tuple[str, str]]:
        """What was said, and what the system took for it."""

    @property
    def units(self) -> np.ndarray:
        """A number [N + M] of each generated clip, then of each recording: equal for copies."""

    def gen(self, role: str) -> list[Features]:
        """Return what a network made of each generated clip."""

    def ref(self, role: str) -> list[Features]:
        """Return what it made of each recording of the whole reference set."""

    def pairs(self, role: str) -> list[Pair]:
        """Return each generated clip with its own recordings."""

    def captions(self, role: str) -> list[np.ndarray]:
        """Return text embeddings [K, D] of each clip's captions."""

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Compute what depends on the reference set alone for the first system, then keep it."""


class TwoSample(NamedTuple):
    """A statistic of a generated and a reference set: `value`, influences `gen` [N], `ref` [M]."""

    value: float
    gen: np.ndarray
    ref: np.ndarray


class Tested(NamedTuple):
    """A statistic, and how often sets whose labels are shuffled show one as large."""

    sample: TwoSample
    p_value: float


class Ratio(NamedTuple):
    """A sum over a sum: `numerators` and `denominators` [N] of each clip."""

    numerators: np.ndarray
    denominators: np.ndarray


def class_logits(clips: Sequence[Features]) -> np.ndarray:
    """Return logits [N, C] of clips that a tagger heard.

    Raises ValueError for clips without logits.
    """
    logits = [clip.logits for clip in clips if clip.logits is not None]
    if len(logits) < len(clips):
        raise ValueError(
            f"logits: {len(clips) - len(logits)} of {len(clips)} clips have none, expected some of "
            "each; let a tagger hear them"
        )
    return np.stack(logits)


def clip_influence(frame_influence: np.ndarray, frames: Sequence[int]) -> np.ndarray:
    """Return the influence of each clip from that of its frames [T].

    Clip i has `frames[i]` of them, in order.

    Frames weigh alike, so a clip with more of them moves the statistic more.
    """
    owner = np.repeat(np.arange(len(frames)), frames)
    sums = np.bincount(owner, frame_influence, minlength=len(frames))
    return sums * len(frames) / len(owner)
