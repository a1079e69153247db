"""Frechet distance between two Gaussians fitted to embeddings: FAD (VGGish), FD (PANNs CNN14).

    |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2)      (Dowson and Landau, 1982)

Other tools take a matrix square root of S1 S2, which is singular when there are fewer clips than
dimensions: their result then depends on the scipy release. With S = F^T F the last trace is the
sum of the singular values of F1 F2^T: exact for every N and D, symmetric, never complex.
"""

from typing import NamedTuple

import numpy as np

from metrics.rows import rows, same_width


class Gaussian(NamedTuple):
    """`mean` [D] and `factor` [min(N, D), D], whose Gram matrix is the covariance (ddof 1)."""

    mean: np.ndarray
    factor: np.ndarray


def frechet_distance(gen: np.ndarray, ref: np.ndarray) -> float:
    """Distance between the rows of `gen` [N, D] and `ref` [M, D]; 0 is best.

    Raises ValueError for fewer than two rows, values that are not finite, or unequal widths.
    """
    return distance(fit("generated", gen), fit("reference", ref))


def fit(name: str, embeddings: np.ndarray) -> Gaussian:
    """The Gaussian of `embeddings` [N, D]; fit a reference once and compare many systems."""
    table = rows(name, embeddings, least=2)
    mean = table.mean(axis=0)
    factor = (table - mean) / np.sqrt(len(table) - 1)
    if len(factor) > factor.shape[1]:
        # Same Gram matrix in D rows; unlike a root of the covariance it loses no digits.
        factor = np.linalg.qr(factor, mode="r")
    return Gaussian(mean, factor)


def distance(gen: Gaussian, ref: Gaussian) -> float:
    """Distance between two fitted Gaussians. Raises ValueError when their widths differ."""
    same_width("generated", gen.factor, "reference", ref.factor)
    means = np.sum((gen.mean - ref.mean) ** 2)
    traces = np.sum(gen.factor**2) + np.sum(ref.factor**2)
    overlap = np.linalg.svd(gen.factor @ ref.factor.T, compute_uv=False).sum()
    return not_negative(means + traces - 2 * overlap, traces)


def not_negative(value: float, scale: float) -> float:
    """Rounding may put a zero just below zero; anything more would be an error of ours."""
    assert value > -1e-6 * max(scale, 1.0), f"Frechet distance {value} at scale {scale}"
    return max(float(value), 0.0)
