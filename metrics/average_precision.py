"""Mean average precision: how well scores rank clips that hold an event above those without it.

No column of a suite's table, for it judges a classifier and not sounds: Table 1 of STAR
(arXiv 2509.17164) is made of it (harness/probing).
"""

from typing import NamedTuple

import numpy as np

from stabench.metrics.checks import check_rows, require_same_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import NotMeasurable

# Not one of METRICS: those are columns that a suite can ask for of a system's sounds.
MEAN_AVERAGE_PRECISION = Metric(
    name="map",
    label="mAP",
    better="higher",
    unit="",
    digits=3,
    version=1,
    needs=("labels",),
    measure="stabench.metrics.average_precision:mean_average_precision",
    lowest=0.0,
    highest=1.0,
    about="mean over the classes that a clip of the split has",
)


class MeanPrecision(NamedTuple):
    """mAP over `classes` classes, and the `influence` [N] of each clip on it (metrics/sets.py)."""

    value: float
    influence: np.ndarray
    classes: int


class _Ranking(NamedTuple):
    """Clips of one class from the highest score down, those of equal scores as one group.

    `group` [N] is each clip's; `hits` [G] are the positive clips of a group, `above` and `ranked`
    those that are positive, and all, up to its end.
    """

    group: np.ndarray
    hits: np.ndarray
    above: np.ndarray
    ranked: np.ndarray


def average_precisions(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the average precision [C] of each class; NaN for one that no clip has.

    `scores` [N, C] may be on any scale, `truth` [N, C] are booleans. AP = sum over thresholds of
    (R_k - R_{k-1}) P_k with precision P and recall R of what scores at or above each, not
    interpolated, as scikit-learn's `average_precision_score`. Raises ValueError for other shapes,
    or scores that are not finite.

    A clip with the event is ranked above the one without it, then below:

    >>> average_precisions([[0.9, 0.1], [0.2, 0.8]], [[True, True], [False, False]]).tolist()
    [1.0, 0.5]
    """
    scores, truth = _check(scores, truth)
    return np.array([_measure_class(*pair)[0] for pair in zip(scores.T, truth.T, strict=True)])


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> MeanPrecision:
    """Return mAP over the classes with a positive clip, and the influence of each clip.

    Arguments and errors as of `average_precisions`; NotMeasurable where no class has a positive.
    The influence is the derivative by a clip's weight, times N: a clip counted twice would move
    mAP by about its influence over N. The classes are those of the whole set, so that a resample
    that lost a class's few positives does not become another question.

    >>> rows = mean_average_precision([[0.9], [0.8], [0.1]], [[True], [False], [True]])
    >>> round(rows.value, 4), rows.influence.round(3).tolist(), rows.classes
    (0.8333, [0.417, -0.333, -0.083], 1)
    """
    scores, truth = _check(scores, truth)
    present = np.flatnonzero(truth.any(axis=0))
    if not len(present):
        raise NotMeasurable("no clip has any of the classes")
    measured = [_measure_class(scores[:, c], truth[:, c]) for c in present]
    influence = len(scores) * np.mean([each[1] for each in measured], axis=0)
    return MeanPrecision(float(np.mean([each[0] for each in measured])), influence, len(present))


def _measure_class(scores: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the average precision of one class and its derivative [N] by the clips' weights."""
    positives = int(truth.sum())
    if not positives:
        return float("nan"), np.zeros(len(scores))
    ranking = _rank(scores, truth)
    precision = ranking.above / ranking.ranked
    value = float(ranking.hits @ precision) / positives
    # A clip's weight counts in the precision at every threshold at or below its score: as a hit
    # where it is positive, and among those seen either way.
    more = (ranking.hits / ranking.ranked)[::-1].cumsum()[::-1][ranking.group]
    less = (ranking.hits * ranking.above / ranking.ranked**2)[::-1].cumsum()[::-1][ranking.group]
    moved = truth * (precision[ranking.group] + more - value) - less
    return value, moved / positives


def _rank(scores: np.ndarray, truth: np.ndarray) -> _Ranking:
    # np.unique sorts upwards: numbered from the end, group 0 has the highest score.
    levels, inverse = np.unique(scores, return_inverse=True)
    group = len(levels) - 1 - inverse
    hits = np.bincount(group, truth, minlength=len(levels))
    sizes = np.bincount(group, minlength=len(levels))
    return _Ranking(group, hits, hits.cumsum(), sizes.cumsum().astype(np.float64))


def _check(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = check_rows("scores", scores), np.asarray(truth)
    if truth.dtype != bool or truth.ndim != 2:
        raise ValueError(
            f"truth: {truth.dtype} of shape {truth.shape}, expected booleans [N, C]; give True "
            "where a clip has the class"
        )
    require_same_rows("scores", scores, "truth", truth)
    require_same_width("scores", scores, "truth", truth)
    return scores, truth
