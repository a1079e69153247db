"""Bootstrap intervals: shared draws, groups, and coverage by simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import stdtrit

from stabench.harness.stats.bootstrap import (
    LEAST_VARIANCE,
    Draws,
    Statistic,
    bound,
    difference,
    interval,
    mean,
    ratio_statistic,
    shares,
    student,
    tails,
    wilson,
)
from stabench.harness.stats.estimate import Estimate
from stabench.metrics.inception import inception_statistic

CLIPS, WORLDS = 200, 500
EACH = np.arange(CLIPS)


def covered(intervals, truth):
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


def test_draws_are_seeded_and_whole():
    draws = Draws.of(30, replicates=50, seed=4)
    assert draws.counts.shape == (50, 30)
    assert (draws.counts.sum(axis=1) == 30).all()
    assert (draws.counts == Draws.of(30, replicates=50, seed=4).counts).all()
    assert (draws.counts != Draws.of(30, replicates=50, seed=5).counts).any()
    assert 0.6 < (draws.counts > 0).mean() < 0.67


def test_a_replicate_of_a_mean_is_the_mean_of_the_clips_drawn_over_its_standard_error():
    values = np.random.default_rng(0).lognormal(size=20)
    draws = Draws.of(20, replicates=300)
    found = interval(mean(values, np.arange(20), 20), draws)
    drawn = [np.repeat(values, counts) for counts in draws.counts]
    scaled = [(clips.mean() - values.mean()) / clips.std() for clips in drawn]
    last, first = np.quantile(scaled, (0.025, 0.975)) * values.std()
    expected = (values.mean(), values.mean() - first, values.mean() - last, 20)
    assert found[:4] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["normal", "skewed", "fractions"])
def test_coverage_of_a_mean(kind):
    """95 % intervals of 200 clips hold the true mean in 92 to 98 of 100 worlds."""
    rng = np.random.default_rng(1)
    draw = {
        "normal": lambda: rng.standard_normal(CLIPS),
        "skewed": lambda: rng.lognormal(0, 0.7, CLIPS),
        "fractions": lambda: rng.choice([0, 0.5, 1], p=[0.1, 0.2, 0.7], size=CLIPS),
    }[kind]
    truth = {"normal": 0.0, "skewed": np.exp(0.245), "fractions": 0.8}[kind]
    draws = Draws.of(CLIPS, replicates=400)
    intervals = [interval(mean(draw(), EACH, CLIPS), draws) for _ in range(WORLDS)]
    assert 0.92 <= covered(intervals, truth) <= 0.98


@pytest.mark.parametrize("clips", [5, 10, 24])
def test_coverage_of_a_mean_of_few_clips(clips):
    """Ten published clips: a plain percentile interval would hold the mean in 90 of 100 worlds."""
    rng = np.random.default_rng(8)
    draws, each = Draws.of(clips, replicates=2000), np.arange(clips)
    worlds = rng.standard_normal((1000, clips))
    intervals = [interval(mean(values, each, clips), draws) for values in worlds]
    assert 0.92 <= covered(intervals, 0.0) <= 0.98


def test_the_quantile_of_student():
    for degrees in (5, 9, 17, 143):
        expected = stdtrit(degrees, 0.025)
        assert student(NormalDist().inv_cdf(0.025), degrees) == pytest.approx(expected, rel=2e-4)
    assert student(NormalDist().inv_cdf(0.025), 2) == pytest.approx(stdtrit(2, 0.025), rel=0.01)


def test_the_quantiles_of_few_are_expanded():
    """Student's t for 9 degrees of freedom is 2.262; that of very many the normal 1.96."""
    assert tails(10)[0] == pytest.approx(NormalDist().cdf(-2.262157 * (10 / 9) ** 0.5), rel=1e-4)
    assert tails(10**7) == pytest.approx((0.025, 0.975), rel=1e-5)
    assert tails(10.5)[0] > tails(10)[0]
    with pytest.raises(ValueError, match="1 clips, expected at least 2"):
        tails(1)


def test_coverage_of_a_paired_difference_and_its_gain():
    """Clips differ more than systems do: pairing keeps the coverage at a third of the width."""
    rng = np.random.default_rng(2)
    draws = Draws.of(CLIPS, replicates=400)
    paired, apart = [], []
    for _ in range(WORLDS):
        clip = 2 * rng.standard_normal(CLIPS)
        a, b = (clip + 0.5 * rng.standard_normal(CLIPS) + shift for shift in (0.2, 0.0))
        one, two, mixed = (mean(values, EACH, CLIPS) for values in (a, b, rng.permutation(b)))
        paired.append(interval(difference(one, two), draws))
        apart.append(interval(difference(one, mixed), draws))
    assert 0.92 <= covered(paired, 0.2) <= 0.98
    width, loose = (np.mean([i.high - i.low for i in each]) for each in (paired, apart))
    assert width < loose / 3


def test_captions_of_one_recording_are_drawn_together():
    """Five captions a clip that agree say no more than one: the interval must not shrink."""
    rng = np.random.default_rng(3)
    draws = Draws.of(CLIPS, replicates=400)
    group = np.repeat(EACH, 5)
    grouped, naive = [], []
    for _ in range(200):
        values = np.repeat(rng.standard_normal(CLIPS), 5) + 0.2 * rng.standard_normal(5 * CLIPS)
        grouped.append(interval(mean(values, group, CLIPS), draws))
        alone = Draws.of(5 * CLIPS, replicates=200)
        naive.append(interval(mean(values, np.arange(5 * CLIPS), 5 * CLIPS), alone))
    assert 0.92 <= covered(grouped, 0) <= 0.98
    assert covered(naive, 0) < 0.75


def test_coverage_of_the_inception_score():
    """What is covered is the average score of as many clips."""
    rng = np.random.default_rng(3)
    draws = Draws.of(CLIPS, replicates=400)
    intervals = []
    for _ in range(300):
        logits = rng.standard_normal((CLIPS, 20))
        logits[EACH, rng.integers(20, size=CLIPS)] += rng.uniform(0, 8, CLIPS)
        found = inception_statistic(logits)
        each = Statistic(found.value, shares(found.gen, EACH, CLIPS), CLIPS)
        intervals.append(interval(each, draws))
    truth = np.mean([one.value for one in intervals])
    assert 0.92 <= covered(intervals, truth) <= 0.98


def test_a_clip_without_a_value_is_left_out_and_counted():
    values = np.array([1.0, np.nan, 3.0, 2.0])
    found = mean(values, np.arange(4), 4)
    assert (found.value, found.n, found.shares[1]) == (2.0, 3, 0.0)
    ends = interval(found, Draws.of(4, replicates=500, seed=1))
    assert 0 < ends.low <= 2 <= ends.high < 4


def test_a_value_always_lies_within_its_interval():
    draws = Draws(np.tile([2, 0], (9, 1)))
    found = interval(Statistic(5.0, np.array([1.0, -1.0]), 2), draws)
    # Every replicate moved by 2 and has no variance: it is divided by the least.
    assert found == Estimate(5.0, pytest.approx(5 - 2 / np.sqrt(LEAST_VARIANCE)), 5.0, 2)


def test_equal_systems_differ_by_nothing():
    one = mean(np.random.default_rng(0).standard_normal(40), np.arange(40), 40)
    assert interval(difference(one, one), Draws.of(40)) == Estimate(0.0, 0.0, 0.0, 40)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, np.nan, np.nan, np.nan]), "1 of 4 clips have a value"),
        (np.array([1, 2, 3, np.inf]), "a value is infinite"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        mean(values, np.arange(4), 4)


def test_refusals_of_draws():
    with pytest.raises(ValueError, match="1 clips, expected at least 2"):
        Draws.of(1)
    with pytest.raises(ValueError, match="shares of 3 groups, draws are for 4"):
        interval(mean(np.ones(3), np.arange(3), 3), Draws.of(4))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1)],
)
def test_the_interval_of_a_share(hits, n, low, high):
    """Figures of Newcombe (1998), method 3, and by hand."""
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_share_near_a_bound_has_the_interval_of_counts(value):
    """Where all clips are equal they vary by nothing; in the middle the clips know best."""
    estimate = Estimate(value, value, value, 12)
    low, high = bound(estimate, 12, 0.0, 1.0)[1:3]
    expected = {0.0: (0, 0.2425), 0.5: (0.5, 0.5), 1.0: (0.7575, 1)}
    assert (low, high) == pytest.approx(expected[value], abs=1e-4)
    # Fewer different clips say less; other bounds scale.
    wider = bound(estimate, 6, 0.0, 1.0)
    assert wider.high - wider.low >= high - low
    tenfold = bound(estimate.scaled(10), 12, 0.0, 10.0)
    assert (tenfold.low, tenfold.high) == pytest.approx((10 * low, 10 * high))


def test_an_interval_ends_where_the_number_must():
    estimate = Estimate(0.3, -0.2, 4.0, 100)
    assert bound(estimate, 100, 0.0)[:3] == (0.3, 0.0, 4.0)
    assert bound(estimate, 100, None, 1.0)[:3] == (0.3, -0.2, 1.0)
    assert bound(estimate, 100, None) == estimate
    # An epsilon may leave a value below its bound: its interval holds it.
    assert bound(Estimate(-0.1, -0.2, 0.1, 9), 9, 0.0)[:3] == (-0.1, -0.1, 0.1)
    assert bound(Estimate.missing("why"), 9, 0.0) == Estimate.missing("why")


def test_a_ratio_s_interval_is_that_of_its_influence():
    """Of worlds of word errors over words 92 to 98 in 100 hold the rate."""
    rng, inside = np.random.default_rng(5), 0
    draws = Draws.of(36)
    for _ in range(300):
        words = rng.integers(3, 14, 36)
        rates = rng.beta(1, 4, 36)
        rate = ratio_statistic(rng.binomial(words, rates), words, np.arange(36), 36)
        ends = interval(rate, draws)
        inside += ends.low <= 0.2 <= ends.high
    assert 0.92 <= inside / 300 <= 0.98
    with pytest.raises(ValueError, match="nothing to divide by"):
        ratio_statistic(np.ones(2), np.zeros(2), np.arange(2), 2)
