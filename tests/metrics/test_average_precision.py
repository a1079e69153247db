"""mAP is scikit-learn's, ties included; its influences are those of weights; its interval holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from stabench.harness.stats.bootstrap import Draws, Statistic, bound, interval, shares
from stabench.metrics.average_precision import (
    MEAN_AVERAGE_PRECISION,
    average_precisions,
    mean_average_precision,
)
from stabench.metrics.sets import NotMeasurable


@st.composite
def tables(draw) -> tuple[np.ndarray, np.ndarray]:
    """Scores with or without ties, and labels of which some classes may have none."""
    clips, classes = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.standard_normal((clips, classes))
    if draw(st.booleans()):
        scores = scores.round(draw(st.integers(0, 1)))
    return scores, rng.random((clips, classes)) < draw(st.floats(0.02, 0.9))


@settings(deadline=None, max_examples=25)
@given(tables())
def test_average_precision_is_scikit_learns(table):
    scores, truth = table
    for value, column, labels in zip(
        average_precisions(scores, truth), scores.T, truth.T, strict=True
    ):
        if labels.any():
            assert value == pytest.approx(average_precision_score(labels, column), abs=1e-12)
        else:
            assert np.isnan(value)


@settings(deadline=None, max_examples=25)
@given(tables())
def test_the_mean_is_over_the_classes_that_a_clip_has(table):
    scores, truth = table
    present = truth.any(axis=0)
    if not present.any():
        with pytest.raises(NotMeasurable, match="no clip has any"):
            mean_average_precision(scores, truth)
        return
    if any(not np.delete(truth, clip, axis=0).any() for clip in range(len(truth))):
        with pytest.raises(NotMeasurable, match="one clip alone"):
            mean_average_precision(scores, truth)
        return
    row = mean_average_precision(scores, truth)
    assert row.value == pytest.approx(compute_macro(scores, truth), abs=1e-12)
    assert row.classes == present.sum()
    losses = [
        row.value - compute_macro(*(np.delete(part, clip, axis=0) for part in table))
        for clip in range(len(scores))
    ]
    influence = (len(scores) - 1) * (np.array(losses) - np.mean(losses))
    np.testing.assert_allclose(row.influence, influence, rtol=0, atol=1e-9)


def compute_macro(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return scikit-learn's mean over the classes that a clip has."""
    present = truth.any(axis=0)
    return average_precision_score(truth[:, present], scores[:, present], average="macro")


def test_scores_that_order_nothing_have_the_share_of_positives():
    truth = np.array([[True], [False], [False], [True]])
    assert average_precisions(np.zeros((4, 1)), truth).tolist() == [0.5]


@pytest.mark.parametrize(
    ("scores", "truth", "line"),
    [
        ([[0.1], [np.nan]], [[True], [False]], "NaN or infinity"),
        ([[0.1], [0.2]], [[1], [0]], "expected booleans"),
        ([[0.1], [0.2]], [[True]], "one a clip in both"),
        ([[0.1, 0.2]], [[True]], "columns"),
    ],
)
def test_other_tables_are_refused_in_a_line(scores, truth, line):
    with pytest.raises(ValueError, match=line):
        mean_average_precision(np.array(scores), np.array(truth))


def simulate_coverage(clips: int, classes: int, skill: float, trials: int) -> float:
    """Return how many of 100 intervals hold what such a classifier gives on average.

    Each clip has one event or two, as the pocket's; rare classes of a long tail with many classes.
    """
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, classes + 1) if classes > 40 else np.ones(classes)
    chances = chances / chances.sum()
    rows = []
    for _ in range(trials):
        truth = np.zeros((clips, classes), bool)
        for clip in range(clips):
            truth[clip, rng.choice(classes, size=rng.integers(1, 3), replace=False, p=chances)] = 1
        scores = rng.standard_normal((clips, classes)) + skill * truth
        rows.append(mean_average_precision(scores, truth))
    middle = np.mean([row.value for row in rows])
    held = 0
    for seed, row in enumerate(rows):
        parts = shares(row.influence, np.arange(clips), clips)
        ends = interval(Statistic(row.value, parts, clips), Draws.of(clips, seed=seed))
        ends = bound(ends, clips, MEAN_AVERAGE_PRECISION.lowest, MEAN_AVERAGE_PRECISION.highest)
        held += ends.low <= middle <= ends.high
    return 100 * held / trials


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clips", "classes", "skill", "most"),
    # Near 1 the interval is also that of a share (stats/bootstrap.py), and so a wide one.
    [(144, 20, 0.5, 98), (144, 20, 2.0, 98), (144, 20, 4.0, 100), (300, 100, 2.0, 99.5)],
)
def test_intervals_hold_the_true_value(clips, classes, skill, most):
    assert 92 <= simulate_coverage(clips, classes, skill, trials=400) <= most
