"""Mel filter banks, in the two conventions that published audio networks were trained with."""

import numpy as np

# mel = 1127 ln(1 + f / 700).
HTK_BREAK_HZ, HTK_Q = 700.0, 1127.0
# Linear up to 1 kHz, then 27 steps for each factor of 6.4.
SLANEY_STEP_HZ, SLANEY_BREAK_HZ = 200.0 / 3, 1000.0
SLANEY_LOG_STEP = np.log(6.4) / 27


def slaney_bank(rate_hz: int, window: int, mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Return area-normalised triangles [window // 2 + 1, mels], float32, on Slaney's mel scale.

    The triangles are drawn over frequency in hertz (Auditory Toolbox, 1998; librosa's default).
    """
    edges = _slaney_to_hz(np.linspace(_hz_to_slaney(fmin), _hz_to_slaney(fmax), mels + 2))
    bins = np.linspace(0, rate_hz / 2, window // 2 + 1)
    area = 2.0 / (edges[2:] - edges[:-2])
    return (_draw_triangles(bins, edges) * area).astype(np.float32)


def htk_bank(rate_hz: int, window: int, mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Return unit-height triangles [window // 2 + 1, mels], float64, drawn over mel.

    The DC bin is zero.

    VGGish's front end (AudioSet, 2017) uses the formula of the HTK book and ignores DC.
    """
    edges = np.linspace(_hz_to_htk(fmin), _hz_to_htk(fmax), mels + 2)
    bank = _draw_triangles(_hz_to_htk(np.linspace(0, rate_hz / 2, window // 2 + 1)), edges)
    bank[0] = 0.0
    return bank


def _draw_triangles(bins: np.ndarray, edges: np.ndarray) -> np.ndarray:
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins[:, None] - lower) / (centre - lower)
    fall = (upper - bins[:, None]) / (upper - centre)
    return np.maximum(0.0, np.minimum(rise, fall))


def _hz_to_htk(hz: float | np.ndarray) -> np.ndarray:
    return HTK_Q * np.log1p(np.asarray(hz) / HTK_BREAK_HZ)


def _hz_to_slaney(hz: float) -> float:
    if hz < SLANEY_BREAK_HZ:
        return hz / SLANEY_STEP_HZ
    above = np.log(hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP
    return SLANEY_BREAK_HZ / SLANEY_STEP_HZ + above


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    knee = SLANEY_BREAK_HZ / SLANEY_STEP_HZ
    above = SLANEY_BREAK_HZ * np.exp(SLANEY_LOG_STEP * (mel - knee))
    return np.where(mel < knee, mel * SLANEY_STEP_HZ, above)
