"""The speaking rate: slower and faster speech at the same pitch."""

from functools import partial

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    Family,
    Heard,
    Setting,
    Speech,
    Surroundings,
)

SLOW, FAST = 0.8, 1.25
# Length of a piece, and how far to either side of its place it may be taken from.
PIECE_S, SEARCH_S = 0.03, 0.0075
# Likeness is compared to so many decimals: two equal periods are equal on every processor.
DECIMALS = 9


def stretch(samples: np.ndarray, rate_hz: int, rate: float) -> np.ndarray:
    """Return speech [T] as [round(T / rate)] at the same pitch: WSOLA (Verhelst and Roelands 1993).

    Pieces of 30 ms are added half over each other under a Hann window. Each is taken from where it
    should be, within 7.5 ms, at the place that continues the piece before it best: where the
    normalised correlation with what followed that piece is largest.
    """
    half = max(1, round(PIECE_S * rate_hz / 2))
    size, search = 2 * half, max(1, round(SEARCH_S * rate_hz))
    window = 0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / half)
    count = max(1, round(len(samples) / rate))
    pieces = -(-count // half) + 1
    # Silence around it: no piece begins before the first sample or ends behind the last one.
    padded = np.pad(samples, (half + search, size + 2 * search + half))
    out = np.zeros((pieces + 1) * half)
    place = search
    for index in range(pieces):
        ideal = search + round((index * half) * rate)
        if index:
            place = _find_place(padded, place + half, ideal, size, search)
        out[index * half : index * half + size] += window * padded[place : place + size]
    return out[half : half + count]


def _find_place(padded: np.ndarray, wanted: int, ideal: int, size: int, search: int) -> int:
    """Return the place near `ideal` whose piece is most like that at `wanted`."""
    # The last pieces of a fast speech would end behind the padding.
    last = len(padded) - size
    low, high = max(0, min(ideal - search, last)), max(0, min(ideal + search, last))
    target = padded[min(wanted, last) :][:size]
    region = padded[low : high + size]
    likeness = np.correlate(region, target, "valid")
    energy = np.concatenate([[0.0], np.cumsum(region * region)])
    norms = np.sqrt(np.maximum(energy[size:] - energy[:-size], 1e-12))
    scores = np.round(likeness / norms, DECIMALS)
    best = np.flatnonzero(scores == scores.max())
    return low + int(best[np.abs(best + low - ideal).argmin()])


def change_speed(speech: Speech, setting: Setting, near: Surroundings, *, rate: float) -> Heard:
    """Return speech at `rate` times its speed; instants are moved in proportion."""
    samples = stretch(speech.samples, speech.rate_hz, rate)
    ends = (len(speech.samples) / speech.rate_hz, len(samples) / speech.rate_hz)
    return Heard(samples, {"rate": ends[0] / ends[1]}, ((0.0, 0.0), ends))


MEASURES = {"rate": "duration before over duration after"}
SLOWER = Family(
    "slow", f"at {SLOW} of the speed, same pitch", partial(change_speed, rate=SLOW),
    measures=MEASURES,
)  # fmt: skip
FASTER = Family(
    "fast", f"at {FAST} times the speed, same pitch", partial(change_speed, rate=FAST),
    measures=MEASURES,
)  # fmt: skip
