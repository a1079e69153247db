"""Band-limited resampling: the windowed sinc that is torchaudio's default, in NumPy alone.

The resampler moves FD by up to 30 (audioldm_eval's README), so it is part of every number's
provenance: `NAME` goes there.
"""

from functools import lru_cache
from math import ceil, gcd
from typing import NamedTuple

import numpy as np

NAME = "sinc-hann-6-0.99"
# torchaudio's defaults: `lowpass_filter_width` and `rolloff`.
ZERO_CROSSINGS = 6
ROLLOFF = 0.99
# Input steps times output phases: more taps than so many take over 200 MB.
LARGEST_BANK = 50_000_000


class Bank(NamedTuple):
    """One filter a column for each output phase: `taps` float32 [2 width + step, phases]."""

    taps: np.ndarray
    width: int


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Return `samples` [T] at `from_hz` as float32 [ceil(T to_hz / from_hz)] at `to_hz`.

    Raises ValueError for a rate that is not positive, or two that share too small a divisor.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"samples have shape {samples.shape}, expected [T]; mix down first")
    if from_hz == to_hz:
        return samples
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"cannot resample {from_hz} Hz to {to_hz} Hz; rates must be positive")
    divisor = gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor
    if step * phases > LARGEST_BANK:
        raise ValueError(
            f"cannot resample {from_hz} Hz to {to_hz} Hz: their ratio {phases}/{step} needs too "
            "many filters; use rates with a common divisor, such as 44100 and 16000"
        )
    bank = _design_bank(step, phases)
    padded = np.pad(samples, (bank.width, bank.width + step))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(bank.taps))[::step]
    return (windows @ bank.taps).reshape(-1)[: ceil(phases * len(samples) / step)]


@lru_cache(maxsize=16)
def _design_bank(step: int, phases: int) -> Bank:
    """Return sinc under a squared cosine, cut off at `ROLLOFF` of the lower Nyquist frequency."""
    cutoff = min(step, phases) * ROLLOFF
    width = ceil(ZERO_CROSSINGS * step / cutoff)
    inputs = np.arange(-width, width + step)[:, None] / step
    outputs = np.arange(phases) / phases
    distance = np.clip((inputs - outputs) * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(distance * np.pi / ZERO_CROSSINGS / 2) ** 2
    taps = np.sinc(distance) * window * (cutoff / step)
    return Bank(taps.astype(np.float32), width)
