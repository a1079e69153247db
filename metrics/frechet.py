"""Frechet distance between two Gaussians fitted to embeddings: FAD (VGGish), FD (PANNs CNN14).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2)      (Dowson and Landau, 1982)

Other tools take a matrix square root of S1 S2, which is singular when there are fewer clips than
dimensions: their result then depends on the scipy release. With S = F^T F the last trace is the
sum of the singular values of F1 F2^T: exact for every N and D, symmetric, never complex. Its
singular vectors give the influence of every row at once, so an interval costs one decomposition.
"""

from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import Clips, check_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, TwoSample, clip_influence

# Largest deviation from orthogonal columns that a second pass makes good.
NEARLY_ORTHOGONAL = 0.1
# Rows and columns from which singular values are slow enough to be avoided.
LARGE = 256
ROUNDINGS = 10
# Of a distance, relative, that the quick way may bring; else the slow one is taken.
LARGEST_ERROR = 1e-11


class Gaussian(NamedTuple):
    """`mean` [D] and `factor` [<= min(N, D), D], whose Gram matrix is the covariance (ddof 1).

    `rows` [N, D] are the centred rows divided by sqrt(N - 1): the factor itself where N <= D.
    `frames` [clips] counts the rows of each clip.
    """

    mean: np.ndarray
    factor: np.ndarray
    rows: np.ndarray
    frames: tuple[int, ...]


def frechet_distance(gen: np.ndarray, ref: np.ndarray) -> float:
    """Return the distance between the rows of `gen` [N, D] and `ref` [M, D]; 0 is best.

    Raises ValueError for fewer than two rows, values that are not finite, or unequal widths.

    In one dimension |m1 - m2|^2 + (s1 - s2)^2. Means 1 and 2, variances 2 and 8:

    >>> round(frechet_distance([[0.0], [2.0]], [[0.0], [4.0]]), 6)  # 1 + 2 + 8 - 2 sqrt(2 * 8)
    3.0
    """
    return distance(fit("generated", gen), fit("reference", ref))


def fit(name: str, embeddings: np.ndarray) -> Gaussian:
    """Fit a Gaussian to `embeddings` [N, D], a row a clip.

    Fit a reference once for many systems.
    """
    table = check_rows(name, embeddings, least=2)
    return _build_gaussian(table, (1,) * len(table))


def fit_clips(name: str, clips: Clips) -> Gaussian:
    """Fit a Gaussian to the frames of all clips, pooled.

    Raises ValueError as `frechet_distance`.
    """
    tables = [check_rows(f"{name} clip {index}", clip) for index, clip in enumerate(clips)]
    for index, table in enumerate(tables):
        require_same_width(f"{name} clip 0", tables[0], f"clip {index}", table)
    pooled = check_rows(name, np.concatenate(tables) if tables else np.empty((0, 1)), least=2)
    return _build_gaussian(pooled, tuple(len(table) for table in tables))


def _build_gaussian(table: np.ndarray, frames: tuple[int, ...]) -> Gaussian:
    mean = table.mean(axis=0)
    centred = (table - mean) / np.sqrt(len(table) - 1)
    factor = centred if len(centred) <= centred.shape[1] else _reduce_rows(centred)
    return Gaussian(mean, factor, centred, frames)


def _reduce_rows(table: np.ndarray) -> np.ndarray:
    """Return at most D rows with the Gram matrix of [N, D].

    Columns of zeros (dead units) take no part.
    """
    alive = table.any(axis=0)
    if alive.all():
        return _factorise(table)
    if not alive.any():
        return table[:1]
    triangle = _factorise(table[:, alive])
    factor = np.zeros((len(triangle), table.shape[1]))
    factor[:, alive] = triangle
    return factor


def _factorise(table: np.ndarray) -> np.ndarray:
    """Return R [D, D] of the QR decomposition of [N, D], N > D: the same Gram matrix in D rows.

    A root of the covariance would lose half of the digits; Cholesky's of it, corrected by that of
    what is left (CholeskyQR2; Fukaya et al., 2014), loses none while the columns are well apart.
    Others take Householder's way, which is slower.
    """
    try:
        first = np.linalg.cholesky(table.T @ table).T
        nearly = table @ np.linalg.inv(first)
        gram = nearly.T @ nearly
        if np.abs(gram - np.eye(len(gram))).max() < NEARLY_ORTHOGONAL:
            return np.linalg.cholesky(gram).T @ first
    except np.linalg.LinAlgError:
        pass
    return np.linalg.qr(table, mode="r")  # type: ignore[return-value]  # "r" gives R, not a pair


def distance(gen: Gaussian, ref: Gaussian) -> float:
    """Return the distance between two fitted Gaussians.

    Raises ValueError when their widths differ.
    """
    products = _multiply_factors(gen, ref)
    if min(products.shape) >= LARGE:
        overlap, error = _sum_from_squares(products, gen, ref)
        value = _assemble_distance(gen, ref, overlap) if np.isfinite(error) else 0.0
        # Twice, as the overlap stands in the distance.
        if 2 * error < LARGEST_ERROR * value:
            return value
    return _assemble_distance(gen, ref, np.linalg.svd(products, compute_uv=False).sum())


def _sum_from_squares(products: np.ndarray, gen: Gaussian, ref: Gaussian) -> tuple[float, float]:
    """Return the sum of singular values as roots of eigenvalues, and a bound of its error.

    Three times as quick as the singular values themselves. An eigenvalue of M M^T is off by some
    eps times the largest, which its root magnifies where it is small; one that must be 0, since
    centred rows sum to 0, is left out.
    """
    smaller, wide = (gen, products) if len(products) <= products.shape[1] else (ref, products.T)
    squares = np.linalg.eigvalsh(wide @ wide.T)[int(smaller.rows is smaller.factor) :]
    if squares[0] <= 0:
        return 0.0, np.inf
    values = np.sqrt(squares)
    spread = ROUNDINGS * np.finfo(float).eps * squares[-1]
    return float(values.sum()), float(spread * np.sum(0.5 / values))


def frechet_two_sample(gen: Gaussian | Clips, ref: Gaussian | Clips) -> TwoSample:
    """Return the distance and the influence of every clip of both sets on it.

    Moving weight onto row x of the generated set changes |m1 - m2|^2 by 2 (m1 - m2).(x - m1), tr S1
    by |x - m1|^2 - tr S1, and the sum of singular values of F1 F2^T = U s V^T by half of
    N (U s U^T)_xx - sum(s). Simulated at 200 clips, in 16 to 2048 dimensions, the standard
    deviation that follows is the true one to a tenth; resampling clips with replacement gives
    half as much again where clips are fewer than dimensions.

    Two clips of one frame each on either side: more weight on the clip at 2 brings the means of
    1 and 2 closer.

    >>> sample = frechet_two_sample([[[0.0]], [[2.0]]], [[[0.0]], [[4.0]]])
    >>> round(sample.value, 6), sample.gen.round(6).tolist()
    (3.0, [2.0, -2.0])
    """
    gen = gen if isinstance(gen, Gaussian) else fit_clips("generated", gen)
    ref = ref if isinstance(ref, Gaussian) else fit_clips("reference", ref)
    left, values, right = np.linalg.svd(_multiply_factors(gen, ref), full_matrices=False)
    # Singular values that are rounding alone have vectors that point anywhere.
    kept = values > len(values) * np.finfo(float).eps * values.max()
    left, right = left[:, kept], right[kept].T
    shift = gen.mean - ref.mean
    overlaps = (
        _compute_overlaps(gen, left, values[kept], ref, right),
        _compute_overlaps(ref, right, values[kept], gen, left),
    )
    return TwoSample(
        _assemble_distance(gen, ref, values.sum()),
        _compute_influence(gen, shift, overlaps[0]),
        _compute_influence(ref, -shift, overlaps[1]),
    )


def measure(metric: Metric, sets: Sets) -> TwoSample:
    """Measure FAD or FD: the network is the first that the metric needs.

    Frames of all clips are pooled.
    """
    role = metric.needs[0]
    ref = sets.once(
        f"frechet {role}",
        lambda: fit_clips("reference", [clip.embeddings for clip in sets.ref(role)]),
    )
    return frechet_two_sample([clip.embeddings for clip in sets.gen(role)], ref)


def _multiply_factors(gen: Gaussian, ref: Gaussian) -> np.ndarray:
    require_same_width("generated", gen.factor, "reference", ref.factor)
    return gen.factor @ ref.factor.T


def _assemble_distance(gen: Gaussian, ref: Gaussian, overlap: float) -> float:
    means = np.sum((gen.mean - ref.mean) ** 2)
    traces = float(np.sum(gen.factor**2) + np.sum(ref.factor**2))
    value = float(means + traces - 2 * overlap)
    # Rounding may put a zero just below zero; anything more would be an error of ours.
    assert value > -1e-6 * max(traces, 1.0), f"Frechet distance {value} at scale {traces}"
    return max(value, 0.0)


def _compute_overlaps(
    side: Gaussian,
    vectors: np.ndarray,
    values: np.ndarray,
    other: Gaussian,
    others: np.ndarray,
) -> np.ndarray:
    """Return (U s U^T)_xx of every row x [N]; for a factor of fewer rows by U s = F F2^T V."""
    if side.rows is side.factor:
        return vectors**2 @ values
    return (side.rows @ (other.factor.T @ others)) ** 2 @ (1 / values)


def _compute_influence(side: Gaussian, shift: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
    """Return the influence of each clip of one set."""
    count = len(side.rows)
    squares = np.sum(side.rows**2, axis=1)
    spread = count * (squares - overlaps) - (squares.sum() - overlaps.sum())
    moved = 2 * np.sqrt(count - 1) * (side.rows @ shift)
    return clip_influence(moved + spread, side.frames)
