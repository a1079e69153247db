"""Kernel inception distance: squared discrepancy under a cubic kernel (Binkowski et al., 2018).

    k(x, y) = (x . y / D + 1)^3

audioldm_eval and av-benchmark report its mean over random subsets; `kid` takes all pairs instead.
"""

from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import Clips, check_rows
from stabench.metrics.mmd import PERMUTATIONS, mmd, mmd_of_subsets, mmd_test, pool
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, Tested, TwoSample

SUBSETS = 100
SIZE = 1000
SEED = 2020


class KernelInceptionDistance(NamedTuple):
    """Mean and population standard deviation over the subsets."""

    mean: float
    std: float


def kernel_inception_distance(
    gen: np.ndarray,
    ref: np.ndarray,
    *,
    subsets: int = SUBSETS,
    size: int = SIZE,
    seed: int = SEED,
) -> KernelInceptionDistance:
    """Return audioldm_eval's distance of the rows of `gen` [N, D] to those of `ref` [M, D].

    Each subset holds min(size, N, M) rows of either set, drawn without replacement by the legacy
    generator, the generated ones first. The std is no interval: subsets share rows, and where
    `size` reaches N every subset is the whole generated set. Raises ValueError for fewer than two
    rows, values that are not finite, unequal widths, or subsets of fewer than two rows.

    Every k(1, 1) is 8, every k(0, 0) and k(1, 0) is 1, in each subset:

    >>> kernel_inception_distance([[1.0]] * 3, [[0.0]] * 3, size=2)  # 8 + 1 - 2
    KernelInceptionDistance(mean=7.0, std=0.0)
    """
    gen, ref = check_rows("generated", gen, least=2), check_rows("reference", ref, least=2)
    if size < 2 or subsets < 1:
        raise ValueError(
            f"kernel inception distance: {subsets} subsets of {size} rows, expected at least 1 of "
            f"2; the usual are {SUBSETS} of {SIZE}"
        )
    pooled = pool(gen, ref)
    size = min(size, len(gen), len(ref))
    random = np.random.RandomState(seed)
    chosen = np.zeros((len(gen), subsets)), np.zeros((len(ref), subsets))
    for subset in range(subsets):
        for picks in chosen:
            picks[random.choice(len(picks), size, replace=False), subset] = 1
    values = mmd_of_subsets(pooled, cubic, *chosen)
    return KernelInceptionDistance(float(values.mean()), float(values.std()))


def kid(gen: Clips, ref: Clips) -> TwoSample:
    """Return the distance over all pairs of frames, unbiased, with the influence of every clip.

    Raises ValueError for fewer than two clips, values that are not finite, or unequal widths.

    >>> kid([[[1.0]], [[1.0]]], [[[0.0]], [[0.0]]]).value  # k(1, 1) + k(0, 0) - 2 k(1, 0)
    7.0
    """
    return mmd(pool(gen, ref), cubic)


def kid_test(
    gen: Clips,
    ref: Clips,
    *,
    permutations: int = PERMUTATIONS,
    paired: bool = False,
    units: np.ndarray | None = None,
    seed: int = 0,
) -> Tested:
    """Return `kid` with its permutation p-value (`metrics.mmd.mmd_test`)."""
    return mmd_test(
        pool(gen, ref), cubic, permutations=permutations, paired=paired, units=units, seed=seed
    )


def measure(metric: Metric, sets: Sets) -> Tested:
    """Measure KID of the whole sets, tested; the network is the first that the metric needs."""
    role = metric.needs[0]
    gen, ref = ([clip.embeddings for clip in side(role)] for side in (sets.gen, sets.ref))
    return kid_test(gen, ref, units=sets.units, seed=sets.rules.subset_seed)


def cubic(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the kernel [A, B] between the rows of [A, D] and [B, D]."""
    # What overflows becomes infinite, and is refused with a reason (metrics/mmd.py).
    with np.errstate(over="ignore"):
        base = left @ right.T / left.shape[1] + 1
        return base * base * base
