"""Ratios of times: paired by clip, with blocks as long as the noise remembers."""

import numpy as np
import pytest

from harness.verdicts import latency_change
from harness.verdicts.latency_change import block_length, change, integrated_time
from harness.verdicts.paired import Sampling
from tests.harness.verdicts.worlds import noise, separate, times

QUICK = Sampling(resamples=300, draws=500)


def test_the_median_of_the_ratios_of_each_clip() -> None:
    """Clips of very different lengths: the ratio is of pairs, and clips of one run take no part."""
    old = {"a": (100,), "b": (1000,), "c": (10_000,), "gone": (7,)}
    new = {"c": (11_000,), "a": (120,), "b": (1050,), "fresh": (9,)}
    found = change(old, new, QUICK)
    assert (found.change, found.n) == (pytest.approx(1.1), 3)
    assert (found.old, found.new) == (1000, 1050)
    assert found.low <= found.change <= found.high


def test_a_few_stalled_clips_do_not_hide_a_slowdown() -> None:
    """5 % on every clip, against three clips that were held up tenfold in the old run."""
    rng = np.random.default_rng(5)
    logs = np.log(1.05) + 0.02 * rng.normal(size=60)
    stalled = np.zeros(60)
    stalled[[7, 23, 48]] = np.log(10)
    found = change(times(stalled), times(logs), Sampling(resamples=300, draws=2000))
    assert found.change == pytest.approx(1.05, abs=0.01)
    assert found.p_value < 0.001
    assert np.mean(logs - stalled) < 0, "the mean says that it became quicker"


def test_repeats_of_a_clip_are_one_number() -> None:
    old = {clip: (wall, wall * 50, wall) for clip, (wall,) in times(np.zeros(20)).items()}
    new = {clip: (wall, wall * 2, wall * 3) for clip, (wall,) in times(np.zeros(20)).items()}
    assert change(old, new, QUICK).change == pytest.approx(2)


def test_too_few_and_impossible() -> None:
    assert "at least 2 clips" in change({"a": (1,)}, {"a": (1,), "b": (2,)}, QUICK)
    assert "0 ns" in change({"a": (1,), "b": (0,)}, {"a": (1,), "b": (2,)}, QUICK)


@pytest.mark.parametrize(("phi", "known"), [(0.0, 1.0), (0.5, 3.0), (0.7, 17 / 3)])
def test_memory_of_an_autoregression_is_known(phi: float, known: float) -> None:
    """(1 + phi) / (1 - phi); one run of 144 clips says it only roughly, many say it together."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        shocks = rng.normal(size=500)
        series = np.empty(500)
        series[0] = shocks[0] / np.sqrt(1 - phi**2)
        for i in range(1, 500):
            series[i] = phi * series[i - 1] + shocks[i]
        found.append(integrated_time(series))
    assert np.median(found) == pytest.approx(known, rel=0.15, abs=0.15)


def test_blocks_where_noise_comes_in_bursts_and_none_where_it_does_not() -> None:
    rng = np.random.default_rng(3)
    bursts = separate(rng, 50, 144) - separate(rng, 50, 144)
    lengths = [block_length(series) for series in bursts]
    assert 4 <= np.median(lengths) <= 12 == max(lengths)
    assert np.median([block_length(rng.normal(size=144)) for _ in range(50)]) == 1
    assert block_length(np.zeros(144)) == 1
    assert block_length(noise(rng, 1, 20)[0]) == 1, "at least 12 blocks must remain"


def test_clip_by_clip_the_same_noise_gives_many_false_alarms(monkeypatch) -> None:
    """Why there are blocks: without them nearly one comparison of equals in four has p <= 0.05."""
    rng = np.random.default_rng(4)
    pairs = [
        (times(a), times(b))
        for a, b in zip(separate(rng, 400, 144), separate(rng, 400, 144), strict=True)
    ]
    sampling = Sampling(resamples=100, draws=400)
    with_blocks = np.mean([change(a, b, sampling).p_value <= 0.05 for a, b in pairs])
    monkeypatch.setattr(latency_change, "block_length", lambda _series: 1)
    without = np.mean([change(a, b, sampling).p_value <= 0.05 for a, b in pairs])
    assert with_blocks <= 0.09
    assert without > 0.12
