"""Kernel audio distance: 100 times the squared discrepancy (Chung et al., arXiv 2502.15602).

    k(x, y) = exp(-|x - y|^2 / (2 b^2))

The bandwidth b is the median distance between frames of the reference, as the paper says. kadtk's
score takes it from the evaluated set (its issue 9); `bandwidth=median_distance(gen)` gives that.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches

import numpy as np

from stabench.metrics.checks import Clips, check_rows
from stabench.metrics.mmd import PERMUTATIONS, Kernel, Pooled, mmd, mmd_test, pool
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, Tested, TwoSample

SCALE = 100
# kadtk adds it to 2 b^2, so that a bandwidth of 0 (a constant reference) has a value too.
KADTK_EPSILON = 1e-8
# kadtk's kernels of |x - y|^2 / (2 b^2): Gaussian, inverse quadratic, inverse multiquadric.
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gaussian": lambda exponent: np.exp(-exponent),
    "iq": lambda exponent: 1 / (1 + exponent),
    "imq": lambda exponent: 1 / np.sqrt(1 + exponent),
}
TILE = 1024
# Pairs whose distances are all held at once, in 128 MiB.
SORTABLE_PAIRS = 1 << 24
# Three such digits are all bits of a double but its sign.
DIGIT_BITS = 21
# Squared distances below this share of both squared lengths are rounding of equal rows.
IDENTICAL = 1e-14


def kernel_audio_distance(
    gen: Clips, ref: Clips, *, kernel: str = "gaussian", bandwidth: float | None = None
) -> TwoSample:
    """Return the distance of `gen` to `ref` with the influence of every clip.

    0 is best, below 0 possible.

    `bandwidth` defaults to `median_distance` of the reference's frames; influences hold it fixed.
    Raises ValueError for fewer than two clips, values that are not finite, unequal widths, an
    unknown kernel, or a bandwidth that is negative or not finite.

    Two sets of equal clips, as far from each other as makes k one half: 100 (1 + 1 - 2 / 2).

    >>> far = np.sqrt(2 * np.log(2))
    >>> gen, ref = [[[far]], [[far]]], [[[0.0]], [[0.0]]]
    >>> round(kernel_audio_distance(gen, ref, bandwidth=1.0).value, 6)
    100.0
    """
    pooled = _centre(gen, ref)
    return _scale(mmd(pooled, _build_kernel(pooled, kernel, bandwidth)))


def kad_test(
    gen: Clips,
    ref: Clips,
    *,
    kernel: str = "gaussian",
    bandwidth: float | None = None,
    permutations: int = PERMUTATIONS,
    paired: bool = False,
    units: np.ndarray | None = None,
    seed: int = 0,
) -> Tested:
    """Return `kernel_audio_distance` with its permutation p-value (`metrics.mmd.mmd_test`)."""
    pooled = _centre(gen, ref)
    tested = mmd_test(
        pooled,
        _build_kernel(pooled, kernel, bandwidth),
        permutations=permutations,
        paired=paired,
        units=units,
        seed=seed,
    )
    return tested._replace(sample=_scale(tested.sample))


def measure(metric: Metric, sets: Sets) -> Tested:
    """Measure KAD, tested; the network is the first that the metric needs."""
    role = metric.needs[0]
    gen, ref = ([clip.embeddings for clip in side(role)] for side in (sets.gen, sets.ref))
    bandwidth = sets.once(f"median distance {role}", lambda: median_distance(np.concatenate(ref)))
    return kad_test(gen, ref, bandwidth=bandwidth, units=sets.units, seed=sets.rules.subset_seed)


def median_distance(embeddings: np.ndarray) -> float:
    """Return the lower median of the Euclidean distances of all pairs of rows of [N, D].

    Exact at every N: beyond 16 million pairs it is found by digits of the distances' binary form,
    of which only histograms are kept. Raises ValueError for fewer than two rows.

    >>> median_distance(np.array([[0.0], [1.0], [3.0]]))  # of 1, 2 and 3
    2.0
    """
    table = check_rows("embeddings", embeddings, least=2)
    table = table - table.mean(axis=0)
    inside = len(table) * (len(table) - 1) // 2
    rank, prefix, shift = (inside - 1) // 2, 0, 3 * DIGIT_BITS
    # Floats that are not negative have the order of their bits, so a digit may be fixed at a time.
    while inside > SORTABLE_PAIRS and shift:
        counts = _count_digits(table, prefix, shift)
        digit = int(np.searchsorted(np.cumsum(counts), rank, side="right"))
        rank -= int(counts[:digit].sum())
        inside, prefix, shift = int(counts[digit]), prefix << DIGIT_BITS | digit, shift - DIGIT_BITS
    if not shift:
        return float(np.sqrt(np.uint64(prefix).view(np.float64)))
    bits = np.concatenate([part[part >> shift == prefix] for part in _generate_pair_bits(table)])
    return float(np.sqrt(np.partition(bits, rank)[rank].view(np.float64)))


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return |x - y|^2 [A, B] between the rows of [A, D] and [B, D], exactly 0 for equal ones."""
    lengths = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)
    squares = lengths - 2 * (left @ right.T)
    squares[squares < IDENTICAL * lengths] = 0.0
    return squares


def _centre(gen: Clips, ref: Clips) -> Pooled:
    """Return both sets moved to the reference's mean: distances stay, and fewer digits are lost."""
    pooled = pool(gen, ref)
    return pooled._replace(rows=pooled.rows - _select_reference(pooled).mean(axis=0))


def _select_reference(pooled: Pooled) -> np.ndarray:
    return pooled.rows[pooled.frames[: pooled.gen].sum() :]


def _build_kernel(pooled: Pooled, name: str, bandwidth: float | None) -> Kernel:
    if name not in SHAPES:
        near = get_close_matches(name, SHAPES, n=1)
        hint = f"did you mean '{near[0]}'" if near else f"known are {', '.join(SHAPES)}"
        raise ValueError(f"kernel audio distance: unknown kernel '{name}'; {hint}")
    if bandwidth is None:
        bandwidth = median_distance(_select_reference(pooled))
    elif not 0 <= bandwidth < np.inf:
        raise ValueError(
            f"kernel audio distance: bandwidth is {bandwidth}, expected 0 or more and finite; "
            "leave it out for the reference's median distance"
        )
    gamma, shape = 1 / (2 * bandwidth**2 + KADTK_EPSILON), SHAPES[name]
    return lambda left, right: shape(gamma * squared_distances(left, right))


def _scale(sample: TwoSample) -> TwoSample:
    return TwoSample(SCALE * sample.value, SCALE * sample.gen, SCALE * sample.ref)


def _count_digits(table: np.ndarray, prefix: int, shift: int) -> np.ndarray:
    """Count the squared distances that begin with `prefix` by their next digit, int [2^21]."""
    counts = np.zeros(1 << DIGIT_BITS, dtype=np.int64)
    for part in _generate_pair_bits(table):
        inside = part[part >> shift == prefix] >> (shift - DIGIT_BITS)
        counts += np.bincount(inside & ((1 << DIGIT_BITS) - 1), minlength=len(counts))
    return counts


def _generate_pair_bits(table: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the bits, int64, of the squared distance of each pair of rows, in tiles."""
    tiles = [slice(start, start + TILE) for start in range(0, len(table), TILE)]
    for number, tile in enumerate(tiles):
        for other in tiles[number:]:
            squares = squared_distances(table[tile], table[other])
            upper = np.triu(np.ones(squares.shape, dtype=bool), 1) if other is tile else ...
            yield squares[upper].ravel().view(np.int64)
