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
    values = np.full(scores.shape[1], np.nan)
    for column in np.flatnonzero(truth.any(axis=0)):
        hits, above, ranked = _rank(scores[:, column], truth[:, column])[1:]
        values[column] = hits @ (above / ranked) / above[-1]
    return values


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> MeanPrecision:
    """Return mAP over the classes with a positive clip, and the influence of each clip.

    Arguments and errors as of `average_precisions`; NotMeasurable where no class has a positive, or
    where one clip alone has them all. The influence is by the jackknife (Efron, 1982): N - 1 times
    what mAP loses without the clip, less its mean. A class that loses its only positive clip leaves
    the mean, as scikit-learn would have it on the rest: what rare classes add by chance is counted.

    >>> rows = mean_average_precision([[0.9], [0.8], [0.1]], [[True], [False], [True]])
    >>> round(rows.value, 4), rows.influence.round(3).tolist(), rows.classes
    (0.8333, [0.667, -0.333, -0.333], 1)
    """
    scores, truth = _check(scores, truth)
    present = np.flatnonzero(truth.any(axis=0))
    if not len(present):
        raise NotMeasurable("no clip has any of the classes")
    values = average_precisions(scores[:, present], truth[:, present])
    totals, counts = np.zeros(len(scores)), np.zeros(len(scores))
    for column in present:
        without = _leave_each_out(scores[:, column], truth[:, column])
        totals += np.where(np.isnan(without), 0.0, without)
        counts += ~np.isnan(without)
    if not counts.all():
        raise NotMeasurable("one clip alone has all of the classes; classify more clips")
    losses = values.mean() - totals / counts
    influence = (len(scores) - 1) * (losses - losses.mean())
    return MeanPrecision(float(values.mean()), influence, len(present))


def _leave_each_out(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the average precision [N] of one class without each clip; NaN without a positive."""
    ranking = _rank(scores, truth)
    group, place = ranking.group[:, None], np.arange(len(ranking.hits))
    lower, gone = place >= group, truth[:, None]
    hits = ranking.hits - (gone & (place == group))
    # A group that was this clip alone has no hits left, whatever it is divided by.
    precision = (ranking.above - (gone & lower)) / np.maximum(ranking.ranked - lower, 1)
    left = truth.sum() - truth
    return np.where(left > 0, (hits * precision).sum(axis=1) / np.maximum(left, 1), np.nan)


def _rank(scores: np.ndarray, truth: np.ndarray) -> _Ranking:
    # np.unique sorts upwards: numbered from the end, group 0 has the highest score.
    levels, inverse = np.unique(scores, return_inverse=True)
    group = len(levels) - 1 - inverse
    hits = np.bincount(group, truth, minlength=len(levels))
    sizes = np.bincount(group, minlength=len(levels))
    return _Ranking(group, hits, hits.cumsum(), sizes.cumsum())


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
