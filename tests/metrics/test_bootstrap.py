"""Bootstrap intervals: paired draws, and coverage by simulation."""

import numpy as np
import pytest

from metrics.bootstrap import (
    Draws,
    Interval,
    Replicates,
    centred_interval,
    inception_interval,
    inception_replicates,
    mean_interval,
    paired_difference,
    replicate_difference,
)
from metrics.inception import inception_score

CLIPS, REPLICATES, WORLDS = 144, 200, 400


def coverage(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def test_draws_are_seeded_and_whole():
    draws = Draws.of(30, replicates=50, seed=4)
    assert draws.counts.shape == (50, 30)
    assert (draws.counts.sum(axis=1) == 30).all()
    assert (draws.counts == Draws.of(30, replicates=50, seed=4).counts).all()
    assert (draws.counts != Draws.of(30, replicates=50, seed=5).counts).any()
    assert 0.6 < (draws.counts > 0).mean() < 0.67


@pytest.mark.parametrize("kind", ["normal", "skewed", "fractions"])
def test_coverage_of_a_mean(kind):
    """95 % intervals of 144 clips hold the true mean in about 95 of 100 worlds."""
    rng = np.random.default_rng(1)
    draw = {
        "normal": lambda: rng.standard_normal(CLIPS),
        "skewed": lambda: rng.lognormal(0, 0.7, CLIPS),
        "fractions": lambda: rng.choice([0, 0.5, 1], p=[0.1, 0.2, 0.7], size=CLIPS),
    }[kind]
    truth = {"normal": 0.0, "skewed": np.exp(0.245), "fractions": 0.8}[kind]
    draws = Draws.of(CLIPS, replicates=REPLICATES)
    intervals = [mean_interval(draw(), draws) for _ in range(WORLDS)]
    assert 0.905 <= coverage(intervals, truth) <= 0.98


def test_coverage_of_a_paired_difference_and_its_gain():
    """Clips differ more than systems do: pairing keeps the coverage at a third of the width."""
    rng = np.random.default_rng(2)
    draws = Draws.of(CLIPS, replicates=REPLICATES)
    paired, apart = [], []
    for _ in range(WORLDS):
        clip = 2 * rng.standard_normal(CLIPS)
        a, b = (clip + 0.5 * rng.standard_normal(CLIPS) + shift for shift in (0.2, 0.0))
        paired.append(paired_difference(a, b, draws))
        apart.append(paired_difference(a, rng.permutation(b), draws))
    assert 0.905 <= coverage(paired, 0.2) <= 0.98
    width, loose = (np.mean([i.high - i.low for i in each]) for each in (paired, apart))
    assert width < loose / 3


def test_coverage_of_the_inception_score():
    """What is covered is the average score of as many clips, whose bias the draws would double."""
    rng = np.random.default_rng(3)
    draws = Draws.of(CLIPS, replicates=100)
    intervals = []
    for _ in range(200):
        logits = rng.standard_normal((CLIPS, 20))
        logits[np.arange(CLIPS), rng.integers(20, size=CLIPS)] += rng.uniform(0, 8, CLIPS)
        intervals.append(inception_interval(logits, draws))
    truth = np.mean([interval.value for interval in intervals])
    assert 0.9 <= coverage(intervals, truth) <= 0.99


def test_inception_value_is_the_score(parity):
    logits = parity("logits527")["gen"]
    interval = inception_interval(logits, Draws.of(len(logits), replicates=50))
    assert interval.value == pytest.approx(inception_score(logits).mean, rel=1e-12)
    assert interval.low < interval.value < interval.high


def test_a_clip_without_a_value_is_left_out_and_counted():
    values = np.array([1.0, np.nan, 3.0, 2.0])
    draws = Draws.of(4, replicates=500, seed=1)
    interval = mean_interval(values, draws)
    assert (interval.value, interval.n) == (2.0, 3)
    assert interval == mean_interval(values[[0, 2, 3]], draws.at([0, 2, 3]))
    assert 1 <= interval.low <= 2 <= interval.high <= 3


def test_a_value_always_lies_within_its_interval():
    outside = Replicates(5.0, np.concatenate([np.zeros(990), np.full(10, 1e6)]), 10)
    interval = centred_interval(outside)
    assert interval.low <= 5 <= interval.high


def test_equal_systems_differ_by_nothing():
    logits = np.random.default_rng(0).standard_normal((40, 5))
    replicates = inception_replicates(logits, Draws.of(40, replicates=30))
    assert replicate_difference(replicates, replicates) == Interval(0.0, 0.0, 0.0, 40)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), "values have shape .*draws are for 4 clips"),
        (np.array([1, np.nan, np.nan, np.nan]), "1 of 4 clips have a value"),
        (np.array([1, 2, 3, np.inf]), "a value is infinite"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, Draws.of(4))


def test_refusals_of_draws_and_pairs():
    with pytest.raises(ValueError, match="1 clips, expected at least 2"):
        Draws.of(1)
    with pytest.raises(ValueError, match="expected the same clips in both"):
        paired_difference(np.ones(3), np.ones(4), Draws.of(3))
