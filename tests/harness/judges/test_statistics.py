"""Statistics of an examination against other formulas for the same thing."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from stabench.harness.judges.statistics import (
    PENALTIES,
    average_precision,
    matched_share,
    mean_average_precision,
    probe,
    rank_correlation,
    spread,
)


def precision_at_each_hit(scores: np.ndarray, truth: np.ndarray) -> float:
    """By walking down the list, as it is defined; scores without ties."""
    hits, precisions = 0, []
    for place, index in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        if truth[index]:
            hits += 1
            precisions.append(hits / place)
    return float(np.mean(precisions))


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_the_precision_at_each_hit(seed):
    rng = np.random.default_rng(seed)
    scores, truth = rng.standard_normal(40), rng.random(40) < 0.2
    truth[0] = True
    assert average_precision(scores, truth) == pytest.approx(precision_at_each_hit(scores, truth))


def test_a_constant_score_knows_the_share_of_true_clips_and_no_more():
    truth = np.arange(10) < 3
    assert average_precision(np.ones(10), truth) == pytest.approx(0.3)
    assert average_precision(np.ones(10), truth[::-1]) == pytest.approx(0.3)


def test_the_mean_is_over_classes_that_some_clip_holds():
    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((30, 4)), rng.random((30, 4)) < 0.3
    truth[:, 2] = False
    each = [precision_at_each_hit(scores[:, c], truth[:, c]) for c in (0, 1, 3)]
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(each))


def test_effective_dimensions_count_equal_axes():
    rng = np.random.default_rng(0)
    axes = rng.standard_normal((64, 7))
    turned = np.linalg.qr(rng.standard_normal((20, 20)))[0][:7]
    equal = np.linalg.qr(axes - axes.mean(axis=0))[0] @ turned
    assert spread(equal).dimensions == pytest.approx(7)
    assert spread(equal).top_two == pytest.approx(2 / 7)
    assert spread(equal + 5).dimensions == pytest.approx(7)


def test_effective_dimensions_are_those_of_the_covariance():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((50, 12)) * np.geomspace(10, 0.01, 12)
    covariance = np.cov(rows, rowvar=False)
    found = spread(rows)
    assert found.dimensions == pytest.approx(
        np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    )
    values = np.linalg.eigvalsh(covariance)
    assert found.top_two == pytest.approx(values[-2:].sum() / values.sum())


def test_rows_that_are_all_equal_fill_no_axis():
    assert spread(np.ones((9, 4))).dimensions == 0


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_is_spearman_s_with_and_without_ties(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 6 if seed % 2 else 10_000, (2, 15))
    expected = spearmanr(first, second).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)


def test_one_exchange_among_six_levels_is_less_than_the_threshold_of_monotony():
    levels = np.arange(6)
    found = sorted({round(rank_correlation(levels, np.array(p)), 3) for p in permutations(levels)})
    assert found[-2:] == [0.943, 1.0]
    assert rank_correlation(levels, np.zeros(6)) == 0


def test_a_sound_is_matched_where_its_caption_beats_the_wrong_ones():
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 5, (12, 12)).astype(float)
    wrong = rng.random((12, 12)) < 0.7
    np.fill_diagonal(wrong, False)
    wins = [
        (similarity[i, i] > similarity[i, j]) + (similarity[i, i] == similarity[i, j]) / 2
        for i in range(12)
        for j in range(12)
        if wrong[i, j]
    ]
    assert matched_share(similarity, wrong) == pytest.approx(np.mean(wins))


@pytest.mark.parametrize("width", [5, 60])
def test_the_probe_is_the_ridge_regression_of_least_leave_one_out_error(width):
    """Against the normal equations, solved anew without each row in turn."""
    rng = np.random.default_rng(width)
    train, test = rng.standard_normal((24, width)) * 3 + 1, rng.standard_normal((7, width))
    truth = np.stack([train[:, 0] > 1, train[:, 1] + rng.standard_normal(24) > 1], axis=1)
    mean, scale = train.mean(0), train.std(0)
    known, asked = (train - mean) / scale, (test - mean) / scale
    share = truth.mean(0)

    def solved(rows: np.ndarray, wanted: np.ndarray, penalty: float) -> np.ndarray:
        return np.linalg.solve(rows.T @ rows + penalty * np.eye(width), rows.T @ wanted)

    # The mean eigenvalue of a Gram matrix is its trace over its size: here the width.
    penalties = PENALTIES * np.trace(known @ known.T) / len(known)
    errors = [
        sum(
            np.sum((truth[i] - share - known[i] @ solved(known[k], (truth - share)[k], p)) ** 2)
            for i in range(24)
            for k in [np.arange(24) != i]
        )
        for p in penalties
    ]
    best = penalties[int(np.argmin(errors))]
    expected = asked @ solved(known, truth - share, best) + share
    assert probe(train, truth, test) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_a_probe_of_features_that_say_nothing_is_at_chance():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 5)) < 0.2
    rows = rng.standard_normal((400, 16))
    scores = probe(rows[:200], truth[:200], rows[200:])
    assert mean_average_precision(scores, truth[200:]) < 0.35
    assert np.isfinite(probe(np.ones((10, 3)), truth[:10], np.ones((4, 3)))).all()
