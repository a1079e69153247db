"""Inception score: exp(mean KL(p(y|x) || p(y))) of a tagger's softmax (Salimans et al., 2016).

Biased low at few clips in a split (it cannot exceed their number) and dependent on the order of
rows: compare only scores of as many clips, as many splits, and rows sorted by clip id.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from metrics.kl import log_softmax
from metrics.rows import rows

SPLITS = 10
SEED = 2020


class InceptionScore(NamedTuple):
    """Mean and population standard deviation over the splits."""

    mean: float
    std: float


class Beliefs(NamedTuple):
    """Class probabilities [N, C] and the negative entropy [N] of each row, in nats."""

    probabilities: np.ndarray
    negentropy: np.ndarray


def inception_score(
    logits: np.ndarray, *, splits: int = SPLITS, shuffle: bool = True, seed: int = SEED
) -> InceptionScore:
    """Score of `logits` [N, C], at least 1, at most C; higher is better.

    The defaults are audioldm_eval's: ten splits of the rows, permuted by the legacy generator.
    Raises ValueError for fewer rows than splits, or values that are not finite.
    """
    believed = beliefs(logits)
    scores = split_scores(believed, order(len(believed.negentropy), shuffle, seed), splits)
    return InceptionScore(float(scores.mean()), float(scores.std()))


def beliefs(logits: np.ndarray) -> Beliefs:
    """What the score needs of each row. Raises ValueError for values that are not finite."""
    log_p = log_softmax(rows("logits", logits))
    return Beliefs(np.exp(log_p), np.sum(np.exp(log_p) * log_p, axis=1))


def split_scores(believed: Beliefs, chosen: np.ndarray, splits: int) -> np.ndarray:
    """Score [splits] of each consecutive part of the rows `chosen` (indices [N])."""
    if not 1 <= splits <= len(chosen):
        raise ValueError(
            f"inception score: {splits} splits of {len(chosen)} rows, expected 1 to "
            f"{len(chosen)}; score more clips or set fewer splits"
        )
    edges = np.arange(splits + 1) * len(chosen) // splits
    sizes = np.diff(edges)
    marginal = np.add.reduceat(believed.probabilities[chosen], edges[:-1]) / sizes[:, None]
    conditional = np.add.reduceat(believed.negentropy[chosen], edges[:-1]) / sizes
    tiny = np.finfo(float).tiny
    return np.exp(conditional - np.sum(marginal * np.log(np.maximum(marginal, tiny)), axis=1))


@lru_cache(maxsize=4096)
def order(count: int, shuffle: bool = True, seed: int = SEED) -> np.ndarray:
    """The order of rows [count] before they are split."""
    if not shuffle:
        return np.arange(count)
    return np.random.RandomState(seed).permutation(count)
