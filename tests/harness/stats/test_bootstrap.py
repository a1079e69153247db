"""Bootstrap intervals: shared draws, groups, and coverage by simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import stdtrit

from stabench.harness.stats.bootstrap import (
    Draws,
    Statistic,
    difference,
    interval,
    mean,
    shares,
    student,
    tails,
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


def test_a_replicate_of_a_mean_is_the_mean_of_the_clips_drawn():
    values = np.random.default_rng(0).lognormal(size=20)
    draws = Draws.of(20, replicates=300)
    found = interval(mean(values, np.arange(20), 20), draws)
    written_out = [np.repeat(values, counts).mean() for counts in draws.counts]
    low, high = np.quantile(written_out, tails(20))
    assert found[:4] == pytest.approx((values.mean(), low, high, 20))


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
    draws = Draws(np.full((9, 2), 3))
    assert interval(Statistic(5.0, np.array([1.0, 0.5]), 2), draws) == Estimate(5.0, 5.0, 9.5, 2)


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
