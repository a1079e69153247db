"""Ratios of times: paired by clip, with blocks as long as the noise remembers."""

import numpy as np
import pytest

from stabench.harness.compare import paired_latency
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.paired_latency import measure_change, signed_ranks
from stabench.harness.stats.bootstrap import draw_blocks, tails
from stabench.harness.stats.permutation import sign_flip
from tests.harness.worlds import separate, times

QUICK = Sampling(resamples=300, draws=500)


def test_the_median_of_the_ratios_of_each_clip() -> None:
    """Clips of very different lengths: the ratio is of pairs, and clips of one run take no part."""
    old = {"a": (100,), "b": (1000,), "c": (10_000,), "gone": (7,)}
    new = {"c": (11_000,), "a": (120,), "b": (1050,), "fresh": (9,)}
    change = measure_change(old, new, QUICK)
    assert (change.change, change.n) == (pytest.approx(1.1), 3)
    assert (change.old, change.new) == (1000, 1050)
    assert change.low <= change.change <= change.high


def test_a_few_stalled_clips_do_not_hide_a_slowdown() -> None:
    """5 % on every clip, against three clips that were held up tenfold in the old run."""
    rng = np.random.default_rng(5)
    logs = np.log(1.05) + 0.02 * rng.normal(size=60)
    stalled = np.zeros(60)
    stalled[[7, 23, 48]] = np.log(10)
    change = measure_change(times(stalled), times(logs), Sampling(resamples=300, draws=2000))
    assert change.change == pytest.approx(1.05, abs=0.01)
    assert change.p_value < 0.001
    assert np.mean(logs - stalled) < 0, "the mean says that it became quicker"


def test_ranks_against_the_median_are_no_evidence_for_it() -> None:
    """6 % quicker on 33 clips and half as slow again on 27: no call that it became quicker."""
    logs = np.where(np.arange(60) % 20 < 11, np.log(0.94), np.log(1.5))
    change = measure_change(times(np.zeros(60)), times(logs), QUICK)
    assert change.change == pytest.approx(0.94)
    assert sign_flip(signed_ranks(logs)).p_value < 0.01, "though it changed, and became slower"
    assert change.p_value == 1


def test_repeats_of_a_clip_are_one_number() -> None:
    old = {clip: (wall, wall * 50, wall) for clip, (wall,) in times(np.zeros(20)).items()}
    new = {clip: (wall, wall * 2, wall * 3) for clip, (wall,) in times(np.zeros(20)).items()}
    assert measure_change(old, new, QUICK).change == pytest.approx(2)


def test_too_few_and_impossible() -> None:
    assert "at least 2 clips" in measure_change({"a": (1,)}, {"a": (1,), "b": (2,)}, QUICK)
    assert "0 ns" in measure_change({"a": (1,), "b": (0,)}, {"a": (1,), "b": (2,)}, QUICK)


def test_clip_by_clip_the_same_noise_gives_many_false_alarms(monkeypatch) -> None:
    """Why there are blocks: without them nearly one comparison of equals in four has p <= 0.05."""
    rng = np.random.default_rng(4)
    pairs = [
        (times(a), times(b))
        for a, b in zip(separate(rng, 400, 144), separate(rng, 400, 144), strict=True)
    ]
    sampling = Sampling(resamples=100, draws=400)
    with_blocks = np.mean([measure_change(a, b, sampling).p_value <= 0.05 for a, b in pairs])
    monkeypatch.setattr(paired_latency, "block_length", lambda _series: 1)
    without = np.mean([measure_change(a, b, sampling).p_value <= 0.05 for a, b in pairs])
    assert with_blocks <= 0.09
    assert without > 0.12


def test_an_interval_over_few_clips_ends_at_expanded_quantiles() -> None:
    logs = np.random.default_rng(9).normal(0, 0.2, (2, 12))
    change = measure_change(
        times(logs[0]), times(logs[1]), Sampling(resamples=400, draws=50, seed=3)
    )
    index = draw_blocks(12, 1, resamples=400, seed=3)
    low, high = np.quantile(np.median((logs[1] - logs[0])[index], axis=1), tails(12))
    assert (change.low, change.high) == pytest.approx((np.exp(low), np.exp(high)), rel=1e-6)
