"""Event order and overlap: are a clip's events heard one after the other, or at the same time?

A caption such as "a dog barks, then rain falls" is two steps of one event each, "a dog barks while
rain falls" is one step of two. A network of the role `timeline` gives each event a logit in every
window of the sound; an event is heard in the windows whose logit is at or above its threshold.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from stabench.metrics.checks import check_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets

# Of one clip: in each step the columns of the events that sound together, steps in time order.
Steps = Sequence[Sequence[int]]
# Of two events one after the other, the windows that lie across the change hold both: a window in
# common is no overlap yet.
SHARED = 0.5


def event_order(
    logits: Sequence[np.ndarray], thresholds: np.ndarray, steps: Sequence[Steps]
) -> np.ndarray:
    """Return whether each clip's events are all heard, and step after step: 1.0 or 0.0, [N].

    `logits` are [T, C] of each clip in T evenly spaced windows, which may differ from clip to clip,
    `thresholds` [C]. Where an event with logits l and threshold h is heard, it lies on average at

        c = sum(p * t) / sum(p)   over the windows t = 0 .. T-1 with l >= h,   p = 1 / (1 + exp(-l))

    The clip is right if every event of a step has a smaller c than every event of the next one. An
    event that is not heard makes it wrong. There is no unit. The mean over clips is 1 for sounds as
    they should be, 0 for those whose steps are swapped, and **half the share of clips whose events
    are all heard** where the order is left to chance (with two steps): compare it with recall.

    A dog (column 0), then rain (column 1): right, the other way round, and rain that is not heard.

    >>> right = [[4.0, -9.0], [2.0, -9.0], [-9.0, 3.0]]
    >>> silent = [[4.0, -9.0], [2.0, -9.0], [-9.0, -9.0]]
    >>> dog_then_rain = [[0], [1]]
    >>> event_order([right, right[::-1], silent], [0.0, 0.0], [dog_then_rain] * 3).tolist()
    [1.0, 0.0, 0.0]

    Raises ValueError for a clip of fewer than two steps, and for an event in two of them.
    """
    values = []
    for clip, clip_steps in zip(logits, steps, strict=True):
        if len(clip_steps) < 2:
            raise ValueError(f"steps: {len(clip_steps)}, expected 2 or more; leave the clip out")
        columns = [column for step in clip_steps for column in step]
        if len({*columns}) < len(columns):
            raise ValueError(
                f"steps: {clip_steps} name an event twice, expected each in one step only; it has "
                "no one place in time, leave the clip out"
            )
        scores, heard = _detect(clip, thresholds)
        centres = _locate_events(scores, heard)
        ordered = all(centres[[*a]].max() < centres[[*b]].min() for a, b in pairwise(clip_steps))
        values.append(float(heard[:, columns].any(axis=0).all() and ordered))
    return np.array(values)


def event_overlap(
    logits: Sequence[np.ndarray], thresholds: np.ndarray, steps: Sequence[Steps]
) -> np.ndarray:
    """Return whether events that should sound together are heard together: 1.0 or 0.0, [N].

    Arguments are those of `event_order`. Of a step's events, W are the windows in which each is
    heard; they sound together if all are heard and share at least half of the shortest (the overlap
    coefficient of Szymkiewicz and Simpson):

        |W1 & W2 & ...| / min(|W1|, |W2|, ...) >= 0.5

    The clip is right if this holds for each of its steps of two or more events. There is no unit.
    A sound that holds only one of the events, or one after the other, is wrong, so the mean over
    clips is 0 for sounds of other events, and at most the share of clips whose events are heard.

    >>> together = [[4.0, 2.0], [2.0, -9.0], [3.0, 3.0]]
    >>> apart = [[4.0, -9.0], [2.0, 3.0], [-9.0, 3.0], [-9.0, 2.0], [2.0, -9.0]]
    >>> event_overlap([together, apart], [0.0, 0.0], [[[0, 1]]] * 2).tolist()
    [1.0, 0.0]

    Raises ValueError for a clip without a step of two events.
    """
    values = []
    for clip, clip_steps in zip(logits, steps, strict=True):
        together = [[*step] for step in clip_steps if len(step) > 1]
        if not together:
            raise ValueError(
                f"steps: {clip_steps} have no two events together, expected a step of 2 or more; "
                "leave the clip out"
            )
        _, heard = _detect(clip, thresholds)
        shares = []
        for step in together:
            windows = heard[:, step]
            shortest = windows.sum(axis=0).min()
            shares.append(shortest > 0 and windows.all(axis=1).sum() >= SHARED * shortest)
        values.append(float(all(shares)))
    return np.array(values)


def measure_order(metric: Metric, sets: Sets) -> np.ndarray:
    """Return event order [N] of each clip by the network that the metric needs."""
    return event_order(_collect_rows(metric, sets), sets.window_thresholds, sets.steps)


def measure_overlap(metric: Metric, sets: Sets) -> np.ndarray:
    """Return event overlap [N] of each clip by the network that the metric needs."""
    return event_overlap(_collect_rows(metric, sets), sets.window_thresholds, sets.steps)


def _collect_rows(metric: Metric, sets: Sets) -> list[np.ndarray]:
    return [features.embeddings for features in sets.gen(metric.needs[0])]


def _detect(logits: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one clip's logits [T, C] as float64, and where they mean "heard"."""
    scores = check_rows("logits", logits)
    limits = check_rows("thresholds", np.atleast_2d(thresholds))
    require_same_width("logits", scores, "thresholds", limits)
    return scores, scores >= limits[0]


def _locate_events(scores: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Return the mean window [C] of each event, NaN where it is not heard."""
    probabilities = np.exp(-np.logaddexp(0.0, -scores))  # 1 / (1 + exp(-l)) without overflow
    evidence = np.where(heard, probabilities, 0.0)
    total = evidence.sum(axis=0)
    windows = np.arange(len(scores))
    return np.divide(windows @ evidence, total, out=np.full(len(total), np.nan), where=total > 0)
