"""Batches of equal length: no clip is padded to its neighbour, so none changes its features."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """`indices` of the clips in the caller's list and their samples float32 [B, N]."""

    indices: list[int]
    samples: np.ndarray


def batches(waveforms: list[np.ndarray], size: int, minimum: int = 1) -> Iterator[Batch]:
    """Group `waveforms` ([N] each) by length, at most `size` in a batch.

    Clips under `minimum` samples are zero-padded at their end. Raises ValueError for a waveform
    that is empty, not one-dimensional or not finite.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, waveform in enumerate(waveforms):
        check(index, waveform)
        by_length[max(len(waveform), minimum)].append(index)
    for length, indices in by_length.items():
        for start in range(0, len(indices), size):
            chosen = indices[start : start + size]
            yield Batch(chosen, np.stack([_padded(waveforms[i], length) for i in chosen]))


def check(index: int, waveform: np.ndarray) -> None:
    """Raises ValueError unless the waveform is one mono clip of finite samples, not empty."""
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(
            f"waveform {index}: shape is {waveform.shape}, expected [samples]; "
            "give one mono clip that is not empty"
        )
    if not np.isfinite(waveform).all():
        raise ValueError(
            f"waveform {index}: holds NaN or infinity, expected finite samples; "
            "score the clip as failed"
        )


def _padded(waveform: np.ndarray, length: int) -> np.ndarray:
    return np.pad(np.asarray(waveform, np.float32), (0, length - len(waveform)))
