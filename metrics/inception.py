"""Inception score: exp(mean KL(p(y|x) || p(y))) of a tagger's softmax (Salimans et al., 2016).

Biased low at few clips in a split (it cannot exceed their number) and dependent on the order of
rows: compare only scores of as many clips, as many splits, and rows sorted by clip id.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import check_rows
from stabench.metrics.kl import log_softmax
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, TwoSample, class_logits

SPLITS = 10
SEED = 2020


class InceptionScore(NamedTuple):
    """Mean and population standard deviation over the splits."""

    mean: float
    std: float


def inception_score(
    logits: np.ndarray, splits: int = SPLITS, *, shuffle: bool = True, seed: int = SEED
) -> InceptionScore:
    """Return the score of `logits` [N, C], at least 1, at most C; higher is better.

    The defaults are audioldm_eval's: ten splits of the rows, permuted by the legacy generator.
    Raises ValueError for fewer rows than splits, or values that are not finite.

    Two clips, each surely of a class of its own, then both of the same class:

    >>> [round(inception_score(p, splits=1).mean, 6) for p in ([[99, 0], [0, 99]], [[99, 0]] * 2)]
    [2.0, 1.0]
    """
    scores = [part.score for part in _split(logits, splits, shuffle, seed)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_statistic(logits: np.ndarray, *, splits: int = SPLITS, seed: int = SEED) -> TwoSample:
    """Return the mean over splits, with the influence of each row; there is no reference set.

    The influence is a jackknife's within each split: its rows are so few that the derivative
    alone, as of other statistics, would make intervals a tenth too narrow.
    """
    parts = _split(logits, splits, True, seed)
    influence = np.empty(sum(len(part.index) for part in parts))
    for part in parts:
        influence[part.index] = _jackknife(part)
    return TwoSample(float(np.mean([part.score for part in parts])), influence, np.empty(0))


def measure(metric: Metric, sets: Sets) -> TwoSample:
    """Measure IS of the network that the metric needs, with the protocol's splits and seed."""
    logits = class_logits(sets.gen(metric.needs[0]))
    return inception_statistic(logits, splits=sets.rules.is_splits, seed=sets.rules.is_seed)


@dataclass(frozen=True)
class _Part:
    """One split: `index` [n] of its rows, their log-probabilities [n, C], and its `score`."""

    index: np.ndarray
    log_p: np.ndarray
    score: float


def _split(logits: np.ndarray, splits: int, shuffle: bool, seed: int) -> list[_Part]:
    log_p = log_softmax(check_rows("logits", logits))
    count = len(log_p)
    if not 1 <= splits <= count:
        raise ValueError(
            f"inception score: {splits} splits of {count} rows, expected 1 to {count}; "
            "score more clips or set fewer splits"
        )
    # The legacy generator, as in audioldm_eval: the modern one permutes otherwise.
    order = np.random.RandomState(seed).permutation(count) if shuffle else np.arange(count)
    edges = np.arange(splits + 1) * count // splits
    parts = []
    for start, stop in pairwise(edges):
        index = order[start:stop]
        chosen = log_p[index]
        p = np.exp(chosen)
        surprise = np.sum(p * (chosen - _take_log(p.mean(axis=0))), axis=1)
        parts.append(_Part(index, chosen, float(np.exp(surprise.mean()))))
    return parts


def _jackknife(part: _Part) -> np.ndarray:
    """Return (n - 1) times what a split's score loses with each of its rows, about its mean."""
    count = len(part.index)
    if count < 2:
        return np.zeros(count)
    p = np.exp(part.log_p)
    # Rounding may leave a little less than nothing.
    without = np.maximum(p.sum(axis=0) - p, 0.0) / (count - 1)
    certainty = np.sum(p * part.log_p, axis=1)
    mean_certainty = (certainty.sum() - certainty) / (count - 1)
    scores = np.exp(mean_certainty - np.sum(without * _take_log(without), axis=1))
    lost = (count - 1) * (part.score - scores)
    return lost - lost.mean()


def _take_log(p: np.ndarray) -> np.ndarray:
    # A class without probability adds p log p = 0, not NaN.
    return np.log(np.maximum(p, np.finfo(float).tiny))
