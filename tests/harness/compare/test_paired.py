"""Paired changes of columns: means, ratios and sets, groups, and intervals that cover."""

import numpy as np
import pytest

from stabench.harness.compare.evidence import ColumnEvidence
from stabench.harness.compare.paired import Sampling, describe_unpaired, measure_change
from stabench.harness.compare.read_evidence import NO_TRANSCRIPT, pseudo_values
from stabench.metrics.frechet import fit, frechet_two_sample
from tests.harness.worlds import column, mean, whole

QUICK = Sampling(resamples=400, draws=200)


def test_a_mean_over_the_clips_that_both_have() -> None:
    old = column({"a": 1.0, "b": 2.0, "c": 30.0}, 11.0, "mean", "lower")
    new = column({"a": 2.0, "b": 5.0, "d": 70.0}, 77 / 3, "mean", "lower")
    change = measure_change(old, new, {}, QUICK)
    assert (change.old, change.new, change.change, change.n) == (1.5, 3.5, 2.0, 2)
    assert change.effect_size == pytest.approx(2 / np.std([1, 3], ddof=1))
    assert describe_unpaired(old, new) == "1 clip only in the old run, 1 clip only in the new"


def test_clips_of_one_recording_turn_together() -> None:
    """Six clips, two recordings: four patterns of signs, not 64."""
    old, new = mean(np.zeros(6)), mean(np.arange(1.0, 7.0))
    groups = {"c001": "c000", "c002": "c000", "c004": "c003", "c005": "c003"}
    assert measure_change(old, new, {}, QUICK).p_value == 2 / 64
    change = measure_change(old, new, groups, QUICK)
    assert (change.p_value, change.least_p, change.change) == (2 / 4, 2 / 4, 3.5)


def test_sets_only_over_the_same_clips() -> None:
    old, new = whole(3.0, np.array([0.1, -0.1, 0.0])), whole(2.0, np.array([0.2, -0.2]))
    assert "over other clips: 3 in the old run, 2 in the new" in measure_change(old, new, {}, QUICK)
    lost = ColumnEvidence(value=None, better="lower", kind="set", reason="why", digest="d")
    assert measure_change(lost, new, {}, QUICK) == "old run: why"
    assert measure_change(lost, lost, {}, QUICK) == "in both runs: why"


def test_word_errors_over_fewer_clips_are_those_of_these_clips() -> None:
    """Pseudo-values average to errors over words, also of the clips that are left."""
    rng = np.random.default_rng(0)
    counts = {f"c{i}": (int(rng.integers(0, 5)), int(rng.integers(1, 12))) for i in range(30)}
    errors, words = np.array(list(counts.values())).T
    values, weights, reason = pseudo_values(counts, errors.sum() / words.sum())
    assert reason is None
    assert np.mean(list(values.values())) == pytest.approx(errors.sum() / words.sum())
    rate = column(values, errors.sum() / words.sum(), "ratio", "lower")
    rate = rate.model_copy(update={"weights": weights})
    kept = [f"c{i}" for i in range(0, 30, 3)]
    some = np.mean(list(rate.over(kept).values()))
    assert some == pytest.approx(errors[::3].sum() / words[::3].sum())
    assert pseudo_values(counts, 0.123) == ({}, {}, NO_TRANSCRIPT)
    assert pseudo_values({}, 0.1)[2] == NO_TRANSCRIPT


def test_intervals_of_a_mean_cover_it() -> None:
    rng, inside = np.random.default_rng(1), 0
    for _ in range(600):
        old = rng.gamma(2, 1, 144)
        new = old + 0.3 + rng.exponential(0.5, 144) - 0.5
        change = measure_change(mean(old), mean(new), {}, QUICK)
        inside += change.low <= 0.3 <= change.high
    assert 0.92 <= inside / 600 <= 0.98


def test_intervals_of_a_frechet_distance_cover_what_it_is_on_average() -> None:
    """Two systems of different width against one reference set, clips new every time.

    A thousand of them: with half as many the share itself is known to one percent only.
    """
    rng, changes = np.random.default_rng(2), []
    for _ in range(1000):
        recordings = rng.normal(size=(144, 5))
        ref, columns = fit("reference", recordings), []
        for noise in (0.6, 0.8):
            gen = fit("generated", recordings + noise * rng.normal(size=(144, 5)) + 0.1)
            sample = frechet_two_sample(gen, ref)
            columns.append(whole(sample.value, (sample.gen + sample.ref) / 144))
        changes.append(measure_change(*columns, {}, QUICK))
    middle = np.mean([change.change for change in changes])
    inside = np.mean([change.low <= middle <= change.high for change in changes])
    assert 0.92 <= inside <= 0.98


def test_a_run_scored_before_copies_counted_once_is_not_comparable() -> None:
    old = whole(3.0, np.zeros(12)).model_copy(update={"n": 12})
    new = whole(3.0, np.zeros(4)).model_copy(update={"n": 12})
    reason = measure_change(old, new, {}, QUICK)
    assert "12 different sounds in the old run, 4 in the new one: copies count once" in reason
