"""Band-limited resampling: the windowed sinc that is torchaudio's default, in NumPy alone.

The resampler moves FD by up to 30 (audioldm_eval's README), so it is part of every number's
provenance: `NAME` goes there. Two others are here to explain figures that were made with them.
"""

from functools import lru_cache
from math import ceil, gcd
from typing import Literal, NamedTuple, get_args

import numpy as np

# The first as every protocol here has it; the second is that of fadtk, the third SciPy's default.
Resampler = Literal["sinc-hann-6-0.99", "sinc-kaiser-64-0.948", "polyphase-kaiser-5"]
NAME: Resampler = "sinc-hann-6-0.99"
POLYPHASE: Resampler = "polyphase-kaiser-5"
RESAMPLERS: tuple[Resampler, ...] = get_args(Resampler)
# Input steps times output phases: more taps than so many take over 200 MB.
LARGEST_BANK = 50_000_000


class Window(NamedTuple):
    """A windowed sinc by torchaudio's `lowpass_filter_width` and `rolloff`.

    `beta` is that of a Kaiser window; without one it is Hann's.
    """

    zero_crossings: int
    rolloff: float
    beta: float | None = None


WINDOWS = {
    "sinc-hann-6-0.99": Window(6, 0.99),
    "sinc-kaiser-64-0.948": Window(64, 0.9475937167399596, 14.769656459379492),
}


class Bank(NamedTuple):
    """One filter a column for each output phase: `taps` float32 [2 width + step, phases]."""

    taps: np.ndarray
    width: int


def resample(
    samples: np.ndarray, from_hz: int, to_hz: int, resampler: Resampler = NAME
) -> np.ndarray:
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
    if resampler == POLYPHASE:
        from scipy.signal import resample_poly

        return np.asarray(resample_poly(samples, phases, step), np.float32)
    bank = _design_bank(step, phases, WINDOWS[resampler])
    padded = np.pad(samples, (bank.width, bank.width + step))
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(bank.taps))[::step]
    return (windows @ bank.taps).reshape(-1)[: ceil(phases * len(samples) / step)]


@lru_cache(maxsize=16)
def _design_bank(step: int, phases: int, window: Window) -> Bank:
    """Return sinc under the window, cut off at `rolloff` of the lower Nyquist frequency."""
    crossings = window.zero_crossings
    cutoff = min(step, phases) * window.rolloff
    width = ceil(crossings * step / cutoff)
    inputs = np.arange(-width, width + step)[:, None] / step
    outputs = np.arange(phases) / phases
    distance = np.clip((inputs - outputs) * cutoff, -crossings, crossings)
    if window.beta is None:
        weights = np.cos(distance * np.pi / crossings / 2) ** 2
    else:
        weights = np.i0(window.beta * np.sqrt(1 - (distance / crossings) ** 2))
        weights = weights / np.i0(window.beta)
    taps = np.sinc(distance) * weights * (cutoff / step)
    return Bank(taps.astype(np.float32), width)
