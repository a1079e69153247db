"""Intervals by resampling clips (Efron and Tibshirani, 1993), 95 %, seeded.

The unit is the clip, never the frame: frames of one clip are alike. All systems of a run share
one `Draws`, so a replicate holds the same clips for each and their differences are paired.

Means take percentile intervals. Distances and inception scores are biased at small N and a
replicate, which holds 63 % of the clips, is biased about twice: their interval is centred, the
quantiles of the replicates shifted by value minus the replicates' mean. It is an interval for
what the same protocol with as many clips gives on average, not for infinitely many clips.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metrics.inception import SPLITS, Beliefs, beliefs, order, split_scores

REPLICATES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """`value` over `n` clips, between the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class Draws(NamedTuple):
    """How often each clip occurs in each replicate: `counts` int [B, clips]."""

    counts: np.ndarray

    @classmethod
    def of(cls, clips: int, *, replicates: int = REPLICATES, seed: int = 0) -> "Draws":
        """`replicates` samples of `clips` clips with replacement. Raises ValueError under 2."""
        if clips < 2:
            raise ValueError(f"bootstrap: {clips} clips, expected at least 2; score more clips")
        if replicates < 2:
            raise ValueError(f"bootstrap: {replicates} replicates, expected at least 2, or 1000")
        even = np.full(clips, 1 / clips)
        return cls(np.random.default_rng(seed).multinomial(clips, even, size=replicates))

    def at(self, clips: Sequence[int] | np.ndarray) -> "Draws":
        """The same draws for the clips at these positions, where a system failed some."""
        return Draws(self.counts[:, np.asarray(clips)])


class Replicates(NamedTuple):
    """A statistic of a whole set of `n` clips: its `value` and its bootstrap `samples` [B]."""

    value: float
    samples: np.ndarray
    n: int


def mean_interval(values: np.ndarray, draws: Draws) -> Interval:
    """Mean of per-clip `values` [N] with its percentile interval.

    NaN marks a clip without a value: it is left out, and `n` says how many remain. Raises
    ValueError when fewer than 2 remain or when `draws` is not for N clips.
    """
    values = np.asarray(values, dtype=np.float64)
    _check(values, draws)
    present = np.isfinite(values)
    weights = draws.counts[:, present]
    drawn = weights.sum(axis=1)
    samples = (weights @ values[present])[drawn > 0] / drawn[drawn > 0]
    return _between(Replicates(float(values[present].mean()), samples, int(present.sum())), 0.0)


def paired_difference(a: np.ndarray, b: np.ndarray, draws: Draws) -> Interval:
    """Mean of `a` - `b` (both [N], clip by clip) with its interval; NaN in either leaves it out."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(
            f"paired difference: shapes are {a.shape} and {b.shape}, expected the same clips in "
            "both; pair them by clip id first"
        )
    return mean_interval(a - b, draws)


def centred_interval(statistic: Replicates) -> Interval:
    """The quantiles of the replicates, shifted so that their mean lies on the value."""
    return _between(statistic, statistic.value - float(statistic.samples.mean()))


def replicate_difference(a: Replicates, b: Replicates) -> Interval:
    """Difference of two statistics of a whole set whose replicates share their draws."""
    return centred_interval(
        Replicates(a.value - b.value, a.samples - b.samples, min(a.n, b.n)),
    )


def inception_interval(logits: np.ndarray, draws: Draws, *, splits: int = SPLITS) -> Interval:
    """Inception score of `logits` [N, C] (rows sorted by clip id) with its centred interval."""
    return centred_interval(inception_replicates(logits, draws, splits=splits))


def inception_replicates(logits: np.ndarray, draws: Draws, *, splits: int = SPLITS) -> Replicates:
    """Inception score of `logits` [N, C] and of each replicate, always in as many splits."""
    believed = beliefs(logits)
    _check(believed.negentropy, draws)
    every = np.ones(len(believed.negentropy), dtype=int)
    samples = np.array([_inception(believed, row, splits) for row in draws.counts])
    return Replicates(_inception(believed, every, splits), samples, len(every))


def _inception(believed: Beliefs, counts: np.ndarray, splits: int) -> float:
    drawn = np.repeat(np.arange(len(counts)), counts)
    return float(split_scores(believed, drawn[order(len(drawn))], splits).mean())


def _between(statistic: Replicates, shift: float) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(statistic.samples, (tail, 1 - tail)) + shift
    value = statistic.value
    return Interval(value, min(float(low), value), max(float(high), value), statistic.n)


def _check(values: np.ndarray, draws: Draws) -> None:
    if values.ndim != 1 or len(values) != draws.counts.shape[1]:
        raise ValueError(
            f"bootstrap: values have shape {values.shape}, draws are for {draws.counts.shape[1]} "
            "clips; use Draws.of(clips) or draws.at(positions)"
        )
    if np.isinf(values).any():
        raise ValueError("bootstrap: a value is infinite, expected finite ones; check the metric")
    if np.isfinite(values).sum() < 2:
        raise ValueError(
            f"bootstrap: {int(np.isfinite(values).sum())} of {len(values)} clips have a value, "
            "expected at least 2; score more clips"
        )
