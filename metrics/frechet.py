"""Frechet distance between two Gaussians fitted to embeddings: FAD (VGGish), FD (PANNs CNN14).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2)      (Dowson and Landau, 1982)

Other tools take a matrix square root of S1 S2, which is singular when there are fewer clips than
dimensions: their result then depends on the scipy release. With S = F^T F the last trace is the
sum of the singular values of F1 F2^T: exact for every N and D, symmetric, never complex. Its
singular vectors give the influence of every row at once, so an interval costs one decomposition.
"""

from typing import NamedTuple

import numpy as np

from metrics.influence import TwoSample, clip_influence
from metrics.metric import Metric
from metrics.rows import Clips, rows, same_width
from metrics.sets import Sets


class Gaussian(NamedTuple):
    """`mean` [D] and `factor` [min(N, D), D], whose Gram matrix is the covariance (ddof 1).

    `basis` [N, min(N, D)] is orthonormal: basis @ factor gives back the centred rows, divided by
    sqrt(N - 1). It is None where the factor holds those rows themselves. `frames` [clips] counts
    the rows of each clip.
    """

    mean: np.ndarray
    factor: np.ndarray
    basis: np.ndarray | None
    frames: tuple[int, ...]

    @property
    def rows(self) -> np.ndarray:
        """The centred rows [N, D] divided by sqrt(N - 1)."""
        return self.factor if self.basis is None else self.basis @ self.factor


def frechet_distance(gen: np.ndarray, ref: np.ndarray) -> float:
    """Distance between the rows of `gen` [N, D] and `ref` [M, D]; 0 is best.

    Raises ValueError for fewer than two rows, values that are not finite, or unequal widths.
    """
    return distance(fit("generated", gen), fit("reference", ref))


def fit(name: str, embeddings: np.ndarray) -> Gaussian:
    """The Gaussian of `embeddings` [N, D], a row a clip; fit a reference once for many systems."""
    table = rows(name, embeddings, least=2)
    return _gaussian(table, (1,) * len(table))


def fit_clips(name: str, clips: Clips) -> Gaussian:
    """The Gaussian of the frames of all clips, pooled. Raises ValueError as `frechet_distance`."""
    tables = [rows(f"{name} clip {index}", clip) for index, clip in enumerate(clips)]
    for index, table in enumerate(tables):
        same_width(f"{name} clip 0", tables[0], f"clip {index}", table)
    pooled = rows(name, np.concatenate(tables) if tables else np.empty((0, 1)), least=2)
    return _gaussian(pooled, tuple(len(table) for table in tables))


def _gaussian(table: np.ndarray, frames: tuple[int, ...]) -> Gaussian:
    mean = table.mean(axis=0)
    centred = (table - mean) / np.sqrt(len(table) - 1)
    if len(centred) <= centred.shape[1]:
        return Gaussian(mean, centred, None, frames)
    # Same Gram matrix in D rows; unlike a root of the covariance it loses no digits.
    basis, factor = np.linalg.qr(centred)
    return Gaussian(mean, factor, basis, frames)


def distance(gen: Gaussian, ref: Gaussian) -> float:
    """Distance between two fitted Gaussians. Raises ValueError when their widths differ."""
    overlap = np.linalg.svd(_products(gen, ref), compute_uv=False).sum()
    return _assemble(gen, ref, overlap)


def frechet_two_sample(gen: Gaussian | Clips, ref: Gaussian | Clips) -> TwoSample:
    """The distance and the influence of every clip of both sets on it.

    Moving weight onto row x of the generated set changes |m1 - m2|^2 by 2 (m1 - m2).(x - m1), tr S1
    by |x - m1|^2 - tr S1, and the sum of singular values of F1 F2^T = U s V^T by half of
    N (U s U^T)_xx - sum(s). Simulated at 200 clips, in 16 to 2048 dimensions, the standard
    deviation that follows is the true one to a tenth; resampling clips with replacement gives
    half as much again where clips are fewer than dimensions.
    """
    gen = gen if isinstance(gen, Gaussian) else fit_clips("generated", gen)
    ref = ref if isinstance(ref, Gaussian) else fit_clips("reference", ref)
    left, values, right = np.linalg.svd(_products(gen, ref), full_matrices=False)
    shift = gen.mean - ref.mean
    return TwoSample(
        _assemble(gen, ref, values.sum()),
        _influence(gen, shift, left, values),
        _influence(ref, -shift, right.T, values),
    )


def measure(metric: Metric, sets: Sets) -> TwoSample:
    """FAD or FD: the network is the first that the metric needs; frames of all clips are pooled."""
    role = metric.needs[0]
    ref = sets.once(
        f"frechet {role}",
        lambda: fit_clips("reference", [one.embeddings for one in sets.ref(role)]),
    )
    return frechet_two_sample([one.embeddings for one in sets.gen(role)], ref)


def _products(gen: Gaussian, ref: Gaussian) -> np.ndarray:
    same_width("generated", gen.factor, "reference", ref.factor)
    return gen.factor @ ref.factor.T


def _assemble(gen: Gaussian, ref: Gaussian, overlap: float) -> float:
    means = np.sum((gen.mean - ref.mean) ** 2)
    traces = float(np.sum(gen.factor**2) + np.sum(ref.factor**2))
    value = float(means + traces - 2 * overlap)
    # Rounding may put a zero just below zero; anything more would be an error of ours.
    assert value > -1e-6 * max(traces, 1.0), f"Frechet distance {value} at scale {traces}"
    return max(value, 0.0)


def _influence(
    own: Gaussian, shift: np.ndarray, vectors: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Influence of each clip of one set; `vectors` [min(N, D), K] belong to singular `values`."""
    table = own.rows
    if own.basis is not None:
        vectors = own.basis @ vectors
    count = len(table)
    squares = np.sum(table**2, axis=1)
    overlaps = vectors**2 @ values
    spread = count * (squares - overlaps) - (squares.sum() - overlaps.sum())
    moved = 2 * np.sqrt(count - 1) * (table @ shift)
    return clip_influence(moved + spread, own.frames)
