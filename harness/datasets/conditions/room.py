"""A room: echoes of its six walls, by the image method, at a reverberation time that is reached.

Every reflection is a mirror image of the speaker (Allen and Berkley 1979, "Image method for
efficiently simulating small-room acoustics", J. Acoust. Soc. Am. 65): in a box of the size L an
image along one axis is at 2 n L + x or 2 n L - x, its sound has met that axis's walls 2 |n| or
|2 n - 1| times, and it arrives after its distance over the speed of sound, weakened by the distance
and by one factor for each meeting.
"""

from functools import lru_cache
from math import exp, log, sqrt

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Number,
    Setting,
    Speech,
    Surroundings,
)

SIZE_M = (6.1, 4.7, 2.9)
SPEAKER_M = (2.3, 1.7, 1.6)
MICROPHONE_M = (3.4, 2.6, 1.2)
SOUND_M_S = 343.0
# Delays are rounded to a sixteenth of a sample and then filtered, so that they are fractions.
FINE = 16
# The reverberation time is fitted where the level has fallen by so many decibels, as T20 of
# ISO 3382-1 is.
FIT_DB = (-5.0, -25.0)
CLOSE_ENOUGH, MOST_TRIES = 0.005, 12


def reverberate(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return speech in a room whose reverberation time is `setting.number` ms, with its decay.

    The direct sound arrives at once and at the level of the speech: no instant of it is moved.
    """
    # Late: SciPy takes a quarter of a second, which a run without conditions need not wait for.
    from scipy.signal import fftconvolve

    response, rt60_s = find_response(setting.number, speech.rate_hz)
    return Heard(fftconvolve(speech.samples, response), {"rt60_s": rt60_s})


@lru_cache(maxsize=8)
def find_response(rt60_ms: int, rate_hz: int) -> tuple[np.ndarray, float]:
    """Return an impulse response [T] that begins with the direct sound, and its measured RT60 in s.

    The absorption begins as Eyring's formula has it and is corrected by what is measured: in a box
    with equal walls the formula is off by up to a third.
    """
    wanted_s = rt60_ms / 1000
    delays, weights, meetings = _list_images(wanted_s, rate_hz)
    width, depth, height = SIZE_M
    volume = width * depth * height
    surface = 2 * (width * depth + width * height + depth * height)
    # Eyring (1930): RT60 = 24 ln(10) V / (-c S ln(1 - absorption)); each wall keeps the square root
    # of the energy as amplitude.
    decay = 24 * log(10) * volume / (SOUND_M_S * surface * wanted_s)
    for _ in range(MOST_TRIES):
        response = _sum_images(delays, weights * exp(-decay / 2) ** meetings)
        rt60_s = measure_rt60(response, rate_hz)
        if abs(rt60_s / wanted_s - 1) < CLOSE_ENOUGH:
            break
        decay *= rt60_s / wanted_s
    response.flags.writeable = False
    return response, rt60_s


def _list_images(longest_s: float, rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of every image heard within `longest_s` of the direct sound three arrays [M].

    The delay in fine steps, the weight relative to the direct sound, how often it met a wall.
    """
    direct_m = sqrt(sum((a - b) ** 2 for a, b in zip(SPEAKER_M, MICROPHONE_M, strict=True)))
    farthest_m = direct_m + longest_s * SOUND_M_S
    squares, counts = np.zeros(1), np.zeros(1, np.int64)
    for size_m, speaker_m, microphone_m in zip(SIZE_M, SPEAKER_M, MICROPHONE_M, strict=True):
        n = np.arange(-int(farthest_m / (2 * size_m)) - 2, int(farthest_m / (2 * size_m)) + 3)
        places = np.concatenate([2 * n * size_m + speaker_m, 2 * n * size_m - speaker_m])
        met = np.concatenate([2 * np.abs(n), np.abs(2 * n - 1)])
        apart = (places - microphone_m) ** 2
        squares = (squares[:, None] + apart[None]).ravel()
        counts = (counts[:, None] + met[None]).ravel()
        near = squares <= farthest_m**2
        squares, counts = squares[near], counts[near]
    distances_m = np.sqrt(squares)
    delays = np.rint((distances_m - direct_m) / SOUND_M_S * rate_hz * FINE).astype(np.int64)
    return delays, direct_m / distances_m, counts


def _sum_images(delays: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the response [T]: impulses at the fine steps, filtered to the rate of the speech."""
    from scipy.signal import resample_poly

    fine = np.bincount(delays, weights)
    return FINE * resample_poly(fine, 1, FINE, window=("kaiser", 5.0))


def measure_rt60(response: np.ndarray, rate_hz: int) -> float:
    """Return the seconds in which the level would fall by 60 dB, from its fall by 5 to 25 dB.

    Schroeder (1965): the level at a time is the energy that is still to come. A straight line is
    fitted to it by least squares.
    """
    remaining = np.cumsum(response[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(np.maximum(remaining / remaining[0], 1e-12))
    high, low = FIT_DB
    places = np.flatnonzero((level_db <= high) & (level_db >= low))
    times_s, levels = places / rate_hz, level_db[places]
    times_s, levels = times_s - times_s.mean(), levels - levels.mean()
    return -60 * float((times_s**2).sum() / (times_s * levels).sum())


REVERB = Family(
    "reverb",
    "a room of 6.1 x 4.7 x 2.9 m, 1.5 m from the speaker, with a reverberation time of N ms",
    reverberate,
    number=Number(150, 1000, "ms"),
    measures={"rt60_s": "reverberation time of the room, Schroeder's method on its response, s"},
)
