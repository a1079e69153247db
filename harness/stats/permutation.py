"""The sign-flip permutation test of paired values (Fisher, 1935; Good, 2005; Edgington, 2007).

If nothing changed, old and new of a clip could as well be exchanged, which turns the sign of
their difference. The p-value is how often signs drawn at random give a difference as large.
Nothing is assumed of its distribution but that. Clips that are not independent (of one recording,
of one burst of noise) are summed first and turn together.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

DRAWS = 10_000
# Up to this p-value, adjusted for all that is tested with it, a difference is called real.
ALPHA = 0.05
# Different clips below which a report marks nothing.
LEAST_UNITS = 20
# Units up to which every pattern of signs is tried: 2 ** 13 patterns are fewer than the draws.
MOST_EXACT = 13
ROUNDING = 1e-12
# Signs that are floats at once: a hundred thousand units must fit as well.
MOST_CELLS = 2**22


class Permutation(NamedTuple):
    """The two-sided `p_value` and the `least` that so many units can give."""

    p_value: float
    least: float


def sign_flip(parts: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> Permutation:
    """Test that the sum of `parts` [units] is 0.

    All patterns of signs for few units; else `draws` of them and p = (b + 1) / (draws + 1), where
    b are as extreme as the data (Davison and Hinkley, 1997; Phipson and Smyth, 2010): never 0,
    and never too small.

    All three positive, or all negative: 2 patterns of 8 are as extreme.

    >>> sign_flip(np.array([1.0, 2.0, 3.0]))
    Permutation(p_value=0.25, least=0.25)
    >>> sign_flip(np.array([1.0, 2.0, -3.0])).p_value
    1.0
    """
    parts = np.asarray(parts, dtype=float)
    exact = len(parts) <= MOST_EXACT
    signs = _list_patterns(len(parts)) if exact else _draw_signs(len(parts), draws, seed)
    # Some rows at a time: the int8 signs become floats only while they are multiplied.
    rows = _count_rows(len(parts))
    products = [signs[start : start + rows] @ parts for start in range(0, len(signs), rows)]
    sums = np.abs(np.concatenate(products))
    # Equal sums in another order may differ by rounding; they count as equal.
    extreme = int(np.count_nonzero(sums >= abs(parts.sum()) - ROUNDING * np.abs(parts).sum()))
    if exact:
        return Permutation(extreme / len(signs), min(2 / len(signs), 1.0))
    return Permutation((extreme + 1) / (draws + 1), 1 / (draws + 1))


@lru_cache(maxsize=4)
def _list_patterns(units: int) -> np.ndarray:
    """Return every pattern of signs, int8 [2 ** units, units]."""
    bits = np.arange(2**units)[:, None] >> np.arange(units)
    return (1 - 2 * (bits & 1)).astype(np.int8)


@lru_cache(maxsize=4)
def _draw_signs(units: int, draws: int, seed: int) -> np.ndarray:
    """Draw signs at random, int8 [draws, units]."""
    rng, signs = np.random.default_rng(seed), np.empty((draws, units), np.int8)
    for some in np.array_split(signs, -(-draws // _count_rows(units))):
        some[:] = 1 - 2 * rng.integers(0, 2, size=some.shape)
    return signs


def _count_rows(units: int) -> int:
    return max(1, MOST_CELLS // units)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm: of m, the k-th smallest times m - k + 1, made monotone.

    Calling those at or below alpha real makes any false call with probability alpha at most,
    whatever depends on what.

    >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    results, running = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        results[index] = running
    return results
