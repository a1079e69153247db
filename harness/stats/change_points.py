"""Change points: where the level of a series moved, by binary segmentation with permutations.

The candidate of a stretch is the split with the largest weighted CUSUM (Scott and Knott, 1974;
Vostrikova, 1981); it counts when few random orders of the same values have a split as large
(Antoch and Huskova, 2001), which needs no model of the noise but that its order means nothing:
where a run resembles the one before (correlation 0.3), one series in five raises a false alarm.
The halves of a stretch that was split are searched at half its level, so that all further splits
of a series together are false about as seldom as the first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LEVEL = 0.05
PERMUTATIONS = 1999
# Runs before a stretch is searched: of fewer, no order is rare enough.
LEAST_RUNS = 8
# Runs on either side of a split.
LEAST_SIDE = 3
# Differences below this share of the largest value are arithmetic, not change.
RESOLUTION = 1e-6


@dataclass(frozen=True)
class ChangePoint:
    """The level moved from `before` to `after`, means of the runs up to the next change point.

    `index` is of the first run at the new level; `p_value` is of its split.
    """

    index: int
    before: float
    after: float
    p_value: float


def change_points(
    values: Sequence[float], *, seed: int = 0, level: float = LEVEL
) -> list[ChangePoint]:
    """Return where the level of `values`, in order of time, moved; nothing below 8 of them.

    A series without a change shows one with probability `level` at most. Raises ValueError for a
    value that is not finite.

    >>> (point,) = change_points([5.0, 5.1, 4.9, 5.0, 5.1, 4.9, 7.0, 7.1, 6.9, 7.0, 7.1, 6.9])
    >>> point.index, point.before, point.after, point.p_value < 0.01
    (6, 5.0, 7.0, True)
    """
    series = np.asarray(values, dtype=np.float64)
    if not np.isfinite(series).all():
        raise ValueError("change points: a value is not finite; leave out runs without one")
    # In whole steps: differences of arithmetic alone cannot make a split.
    steps = np.round(series / (RESOLUTION * (np.abs(series).max(initial=0.0) or 1.0)))
    splits = sorted(_find_splits(steps, 0, level, np.random.default_rng(seed)))
    ends = [0, *(index for index, _ in splits), len(series)]
    means = [float(series[a:b].mean()) for a, b in pairwise(ends) if b > a]
    return [
        ChangePoint(index, means[place], means[place + 1], p_value)
        for place, (index, p_value) in enumerate(splits)
    ]


def _find_splits(
    values: np.ndarray, start: int, level: float, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """Yield (index, p) of every split of a stretch that begins at `start`."""
    if len(values) < LEAST_RUNS:
        return
    sizes = _compute_cusum(values)
    index = int(sizes.argmax()) + LEAST_SIDE
    # How often a random order has a split as large; the order itself counts, so p is never 0.
    orders = rng.permuted(np.broadcast_to(values, (PERMUTATIONS, len(values))), axis=1)
    # The same values in another order may differ by rounding; they count as equal.
    as_large = _compute_cusum(orders).max(axis=1) >= float(sizes.max()) * (1 - 1e-9)
    p_value = (1 + int(as_large.sum())) / (1 + PERMUTATIONS)
    if p_value > level:
        return
    yield start + index, p_value
    yield from _find_splits(values[:index], start, level / 2, rng)
    yield from _find_splits(values[index:], start + index, level / 2, rng)


def _compute_cusum(values: np.ndarray) -> np.ndarray:
    """Return weighted CUSUM [..., n - 2 LEAST_SIDE + 1] of values [..., n], by the left's size."""
    n = values.shape[-1]
    left = np.arange(LEAST_SIDE, n - LEAST_SIDE + 1)
    sums = np.cumsum(values - values.mean(axis=-1, keepdims=True), axis=-1)[..., left - 1]
    return np.abs(sums) * np.sqrt(n / (left * (n - left)))
