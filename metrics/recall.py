"""Event recall: which of the events that a clip should hold does a tagger hear in it?"""

import numpy as np

from stabench.metrics.checks import check_rows, require_same_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets, class_logits


def event_recall(logits: np.ndarray, thresholds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share [N] of each clip's events that are heard, 0 to 1; NaN where there are none.

    `logits` [N, C] at or above `thresholds` [C] are heard; `labels` [N, C] are booleans.

    Heard and expected over expected. Of two expected events one is heard; of none there is no
    share:

    >>> labels = [[True, True, False], [False, False, False]]
    >>> event_recall([[1.0, -1.0, 1.0], [1.0, -1.0, -1.0]], [0.0, 0.0, 0.0], labels).tolist()
    [0.5, nan]
    """
    heard, expected = _detect_events(logits, thresholds, labels)
    total = expected.sum(axis=1)
    return np.where(total > 0, (heard & expected).sum(axis=1) / np.maximum(total, 1), np.nan)


def measure(metric: Metric, sets: Sets) -> np.ndarray:
    """Return event recall [N] of each clip by the network that the metric needs."""
    logits = class_logits(sets.gen(metric.needs[0]))
    return event_recall(logits, sets.thresholds, sets.labels)


def _detect_events(
    logits: np.ndarray, thresholds: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    logits = check_rows("logits", logits)
    limits = check_rows("thresholds", np.atleast_2d(thresholds))
    expected = np.asarray(labels)
    if expected.dtype != bool or expected.ndim != 2:
        raise ValueError(
            f"labels: {expected.dtype} of shape {expected.shape}, expected booleans [N, C]; "
            "give True where a clip holds the event"
        )
    require_same_rows("logits", logits, "labels", expected)
    require_same_width("logits", logits, "labels", expected)
    require_same_width("logits", logits, "thresholds", limits)
    return logits >= limits[0], expected
