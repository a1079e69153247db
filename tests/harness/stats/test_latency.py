"""Latency statistics against independent calculations, their intervals by simulated coverage."""

import statistics

import numpy as np
import pytest
from scipy.stats import binom

from stabench.harness.runs.journal import Row, Span
from stabench.harness.runs.timings import stages, timed
from stabench.harness.stats.bootstrap import draw_blocks, tails
from stabench.harness.stats.latency import Latency, least_n
from tests.harness import worlds


def row(clip: str = "a", *, represent_ns: int = 10, generate_ns: int = 30, **changes) -> Row:
    """A timed row whose phases hold one stage each and a remainder of 1 ns."""
    spans = (
        Span("represent", "encoder", represent_ns - 1, changes.pop("device_ns", None)),
        Span("generate", "sampler", generate_ns - 1),
    )
    given = {"system": "star", "repeat": 0, "warmup": False, "status": "ok", "seed": 1} | changes
    times = {"represent": represent_ns, "generate": generate_ns}
    return Row(phase_ns=times, spans=spans, clip=clip, **given)


@pytest.mark.parametrize(("percent", "expected"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_a_percentile_needs_two_samples_beyond_it_with_99_percent(percent, expected):
    assert least_n(percent) == expected
    assert binom.cdf(1, expected, 1 - percent / 100) <= 0.01
    assert binom.cdf(1, expected - 1, 1 - percent / 100) > 0.01


def test_moments_are_those_of_the_standard_library():
    samples = [int(x) for x in np.random.default_rng(1).lognormal(16, 0.5, 200)]
    latency = Latency(samples)
    assert latency.mean.value == pytest.approx(statistics.fmean(samples))
    assert latency.sd_ns == pytest.approx(statistics.stdev(samples))
    assert latency.median.value == pytest.approx(statistics.median(samples))
    deciles = statistics.quantiles(samples, n=10, method="inclusive")
    assert latency.percentile(90).value == pytest.approx(deciles[8])


@pytest.mark.parametrize(
    ("n", "percent", "shown"), [(10, 50, False), (11, 50, True), (63, 90, False)]
)
def test_a_percentile_is_refused_with_a_reason_below_its_least_n(n, percent, shown):
    estimate = Latency(list(range(1, n + 1))).percentile(percent)
    assert (estimate.value is not None) == shown
    assert shown or f"p{percent} needs" in estimate.reason


@pytest.mark.parametrize("percent", [0, 100, -3])
def test_percentiles_outside_0_to_100_are_refused(percent):
    with pytest.raises(ValueError, match="expected above 0"):
        Latency([1, 2, 3]).percentile(percent)


def test_no_sample_and_one_sample_give_reasons_not_crashes():
    assert Latency([]).mean.reason == "no timed clips"
    assert Latency([]).sd_ns is None
    one = Latency([5]).mean
    assert (one.value, one.low, one.reason) == (5, None, "one clip: no interval")


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_cover_the_truth_95_times_in_100(statistic):
    rng = np.random.default_rng(3)
    truth = {"mean": float(np.exp(16 + 0.3**2 / 2)), "median": float(np.exp(16))}[statistic]
    covered = 0
    for trial in range(300):
        samples = rng.lognormal(16, 0.3, 80)
        estimate = getattr(Latency(samples, resamples=300, seed=trial), statistic)
        covered += estimate.low <= truth <= estimate.high
    assert 0.90 <= covered / 300 <= 0.985


def test_repeats_of_a_clip_do_not_narrow_the_interval():
    clips = [f"c{i}" for i in range(40)]
    samples = list(np.random.default_rng(0).integers(1000, 9000, 40))
    once = Latency(samples, clips)
    thrice = Latency(samples * 3, clips * 3)
    assert (thrice.n, thrice.n_clips) == (120, 40)
    assert thrice.mean[:4] == pytest.approx(once.mean[:4])
    assert thrice.percentile(90).reason == "p90 needs 64 clips, there are 40"


def test_a_failed_repeat_leaves_the_others_of_its_clip():
    latency = Latency([10, 20, 60], ["a", "b", "b"])
    assert latency.mean.value == 30
    assert latency.n_clips == 2
    assert 10 <= latency.mean.low <= latency.mean.high <= 40


def test_the_same_seed_gives_the_same_interval():
    samples = np.random.default_rng(0).permutation(range(100, 150)).tolist()
    assert Latency(samples, seed=4).mean == Latency(samples, seed=4).mean
    assert Latency(samples, seed=4).mean != Latency(samples, seed=5).mean


def test_sample_and_clip_counts_must_agree():
    with pytest.raises(ValueError, match="2 samples, but 1 clip names"):
        Latency([1, 2], ["a"])


def test_warm_ups_failures_and_other_systems_are_not_timed():
    rows = [row(), row(warmup=True), row(status="failed"), row(system="oracle")]
    assert timed(rows, "star") == rows[:1]


def test_stages_add_up_to_the_phases_with_the_remainder_last():
    rows = [row("a"), row("b", represent_ns=30, generate_ns=130)]
    table = stages(rows)
    assert [(stage.phase, stage.name) for stage in table] == [
        ("represent", "encoder"),
        ("represent", "(remainder)"),
        ("generate", "sampler"),
        ("generate", "(remainder)"),
    ]
    assert [stage.mean_ns for stage in table] == [19, 1, 79, 1]
    assert sum(stage.share for stage in table) == pytest.approx(1)
    assert table[2].share == pytest.approx(158 / 200)


def test_device_time_is_shown_only_where_every_row_has_it():
    assert stages([row(device_ns=7), row("b", device_ns=9)])[0].device_ns == 8
    assert stages([row(device_ns=7), row("b")])[0].device_ns is None
    assert stages([]) == []


def test_a_stage_missing_in_some_rows_counts_as_zero_there():
    short = row("b")
    short = Row(**{**vars(short), "spans": short.spans[1:]})
    assert stages([row("a"), short])[0].mean_ns == 4.5


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_cover_on_a_machine_that_is_slow_in_bursts(statistic):
    """Taken clip by clip, they would hold the truth in 75 of 100 runs."""
    rng = np.random.default_rng(4)
    many = np.exp(16 + worlds.separate(rng, 2000, 144))
    truth = {"mean": many.mean(), "median": np.median(many)}[statistic]
    runs = np.exp(16 + worlds.separate(rng, 300, 144))
    found = [getattr(Latency(run.tolist(), resamples=300), statistic) for run in runs]
    # In a few the bursts look like a drift, and nothing is promised.
    found = [one for one in found if one.low is not None]
    assert len(found) >= 290
    covered = float(np.mean([one.low <= truth <= one.high for one in found]))
    assert 0.88 <= covered <= 0.98
    apart = [Latency(rng.permutation(run).tolist(), resamples=300).mean for run in runs[:50]]
    assert all(one.low is not None for one in apart)
    widths = [np.mean([one.high - one.low for one in each]) for each in (apart, found[:50])]
    assert widths[0] < 0.75 * widths[1]


def test_an_interval_of_few_clips_ends_at_expanded_quantiles():
    samples = np.random.default_rng(6).lognormal(16, 0.3, 12)
    found = Latency(samples.tolist(), resamples=400, seed=2).mean
    means = samples[draw_blocks(12, 1, resamples=400, seed=2)].mean(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, tails(12))))
