"""Event recall by hand."""

import numpy as np
import pytest

from stabench.metrics.recall import event_recall

LOGITS = np.array([[2.0, -1, 0.5], [0, 0, 0], [-3, 4, 1], [9, 9, 9]])
THRESHOLDS = np.array([1.0, -0.5, 0.5])
LABELS = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1]], bool)


def test_recall():
    """A logit at its threshold is heard; a clip without events has no recall."""
    recall = event_recall(LOGITS, THRESHOLDS, LABELS)
    assert recall == pytest.approx([0.5, np.nan, 1, 1], nan_ok=True)


@pytest.mark.parametrize(
    ("thresholds", "labels", "message"),
    [
        (THRESHOLDS[:2], LABELS, "3 columns and thresholds 2"),
        (THRESHOLDS, LABELS[:3], "4 rows and labels 3"),
        (THRESHOLDS, LABELS.astype(int), "labels: int64 of shape"),
        (np.array([np.nan, 0, 0]), LABELS, "thresholds: 1 of 1 rows hold NaN"),
    ],
)
def test_refusals(thresholds, labels, message):
    with pytest.raises(ValueError, match=message):
        event_recall(LOGITS, thresholds, labels)
