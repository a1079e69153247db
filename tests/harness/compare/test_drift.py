"""A machine that drifts as slowly as the run: found in the times, said, and nothing is called.

The logs of times are AR(1): of each clip `memory` times those of the one before, and news.
"""

import numpy as np
import pytest

from stabench.harness.compare import paired_latency
from stabench.harness.compare.compare import compare
from stabench.harness.compare.paired import Sampling
from stabench.harness.compare.verdict import Bounds, Call, Options, call, is_no_worse
from stabench.harness.stats.bootstrap import has_drift
from stabench.harness.stats.latency import Latency
from tests.harness import worlds
from tests.harness.worlds import evidence, system, times

QUICK = Sampling(resamples=20, draws=999)
FIVE_PERCENT = Bounds(0.05, 0.05)
TESTS = 2
"""Phases that share the 5 %."""


def draw_logs(memory: float, runs: int, n: int, seed: int, spread: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng([seed, round(1000 * memory), n])
    logs = np.empty((runs, n))
    logs[:, 0] = rng.standard_normal(runs)
    news = rng.standard_normal((runs, n)) * np.sqrt(1 - memory**2)
    for clip in range(1, n):
        logs[:, clip] = memory * logs[:, clip - 1] + news[:, clip]
    return spread * logs


def call_runs(memory: float, runs: int, n: int, slower: float = 0.0) -> list[Call]:
    """The verdicts of `runs` pairs of runs, one after the other."""
    pairs = zip(draw_logs(memory, runs, n, 1), draw_logs(memory, runs, n, 2), strict=True)
    calls = []
    for before, now in pairs:
        change = paired_latency.measure_change(times(before), times(now + np.log1p(slower)), QUICK)
        p = min(1.0, TESTS * change.p_value)
        calls.append(call(change, p, "lower", FIVE_PERCENT, relative=True))
    return calls


def count(calls: list[Call], word: str) -> float:
    return sum(each.word == word for each in calls) / len(calls)


@pytest.mark.slow
@pytest.mark.parametrize("n", [36, 72, 144])
@pytest.mark.parametrize("memory", [0, 0.5, 0.8, 0.9, 0.95, 0.98])
def test_few_unchanged_systems_are_called_slower(memory, n):
    """At most 6 %, give or take two standard errors of 500."""
    assert count(call_runs(memory, 500, n), "regressed") <= 0.06 + 2 * (0.06 * 0.94 / 500) ** 0.5


@pytest.mark.parametrize("memory", [0.9, 0.95, 0.98])
def test_where_noise_lasts_as_long_as_the_run_nearly_nothing_is_called(memory):
    """Without the check 7, 14 and 28 % were called slower."""
    calls = call_runs(memory, 100, 144)
    assert count(calls, "regressed") <= 0.06
    drifted = [each for each in calls if "drifted" in each.reason]
    assert len(drifted) >= 80
    assert {each.word for each in drifted} == {"inconclusive"}
    assert drifted[0].reason == (
        "the machine drifted during the run; run old and new interleaved (stabench gate --base)"
    )


@pytest.mark.parametrize("memory", [0, 0.5])
def test_short_noise_hides_no_slowdown_of_fifteen_percent(memory):
    """As often as without the check: always, and 97 of 100."""
    calls = call_runs(memory, 100, 144, slower=0.15)
    assert count(calls, "regressed") >= 0.93
    assert not any("drifted" in each.reason for each in calls)


@pytest.mark.parametrize("n", [72, 144])
def test_the_bursts_of_a_busy_machine_are_no_drift(n):
    rng = np.random.default_rng(0)
    logs = worlds.separate(rng, 200, n) - worlds.separate(rng, 200, n)
    assert np.mean([has_drift(each) for each in logs]) <= 0.04


def test_old_and_new_that_were_interleaved_share_the_drift():
    """What drifts is in both, and cancels: the slowdown is found."""
    rng = np.random.default_rng(3)
    drift = draw_logs(0.98, 20, 144, 5)
    words = []
    for logs in drift:
        before, now = (logs + rng.normal(0, 0.05, 144) for _ in "ab")
        change = paired_latency.measure_change(times(before), times(now + np.log(1.15)), QUICK)
        words.append(call(change, change.p_value, "lower", FIVE_PERCENT, relative=True).word)
    assert words == ["regressed"] * 20


@pytest.mark.parametrize(
    "shape",
    [
        lambda n: np.linspace(0, 0.5, n),
        lambda n: 0.3 * (np.arange(n) > n // 3),
        lambda n: 0.2 * np.sin(np.arange(n) / n * 4 * np.pi),
        lambda n: np.cumsum(np.random.default_rng(8).normal(0, 0.05, n)),
    ],
    ids=["trend", "step", "wave", "random walk"],
)
@pytest.mark.parametrize("n", [24, 72, 200])
def test_every_slow_shape_is_drift(shape, n):
    scatter = np.random.default_rng(9).normal(0, 0.02, n)
    assert has_drift(shape(n) + scatter)
    assert not has_drift(scatter)


@pytest.mark.parametrize("n", [1, 5, 11])
def test_of_fewer_than_twelve_clips_no_drift_is_told(n):
    assert not has_drift(np.linspace(0, 1, n))


def test_times_that_do_not_vary_do_not_drift():
    """Rounded to nanoseconds, they vary a little all the same."""
    logs = np.log(np.linspace(240e6, 240e6 + 9, 72).round())
    assert not has_drift(logs)
    assert not has_drift(np.zeros(72))


def test_a_drifted_line_is_neither_the_same_nor_no_worse_nor_a_gain():
    old, new = draw_logs(0.98, 1, 144, 1)[0], draw_logs(0.98, 1, 144, 2)[0]
    change = paired_latency.measure_change(times(old), times(new), QUICK)
    assert change.drifted
    for p in (0.0001, 1.0):
        assert call(change, p, "lower", Bounds(0.0, 9.0), relative=True).word == "inconclusive"
    assert not is_no_worse(change, "lower", Bounds(0.0, 9.0), relative=True)


def test_a_comparison_says_it_of_the_phase_that_drifted_alone():
    steady = np.random.default_rng(2).normal(0, 0.02, 144)
    drift = np.linspace(0, 0.4, 144) + steady
    pair = [
        evidence(system(n=144, samples_ns={"represent": times(steady), "generate": times(logs)}))
        for logs in (steady, drift)
    ]
    lines = {line.key: line for line in compare(*pair, Options(sampling=QUICK)).systems[0].lines}
    assert "drifted" in lines["generation"].reason
    assert lines["generation"].verdict == "inconclusive"
    assert lines["processing"].verdict == "same"


@pytest.mark.slow
@pytest.mark.parametrize("n", [72, 144])
@pytest.mark.parametrize("memory", [0, 0.5, 0.8, 0.9, 0.95, 0.98])
def test_the_interval_of_mean_and_median_times_holds_or_is_refused(memory, n):
    """Of 300 runs: intervals that miss the machine's own level are few, all told."""
    missed = np.zeros(2)
    for logs in draw_logs(memory, 300, n, 7):
        latency = Latency((1e8 * np.exp(logs)).astype(int).tolist(), resamples=400)
        level = 1e8 * np.array([np.exp(0.15**2 / 2), 1.0])
        for place, estimate in enumerate((latency.mean, latency.median)):
            if estimate.low is not None:
                missed[place] += not estimate.low <= level[place] <= estimate.high
    assert (missed / 300 <= 0.12).all()
