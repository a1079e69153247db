"""The doctor's noise: its threshold keeps alarms rare on new runs, and what it says it sees, it
sees."""

from pathlib import Path

import numpy as np
import pytest

from stabench.harness.compare.evidence import Hardware
from stabench.harness.compare.paired_latency import measure_change
from stabench.harness.errors import StabenchError
from stabench.harness.gate import measure_noise, noise, policy
from stabench.harness.gate.noise import NAME, Noise, PhaseNoise, read, write
from tests.harness import worlds
from tests.harness.worlds import times

ROOT = Path(__file__).resolve().parents[3]
N, TESTS = 72, 4


@pytest.fixture(scope="module")
def phase_noise() -> PhaseNoise:
    """The noise of one interleaved run of the pocket's machine."""
    old, new = worlds.interleaved(np.random.default_rng(0), 1, N)
    return noise.measure_phase(times(old[0]), times(new[0]), tests=TESTS, splits=150)


def test_its_threshold_keeps_alarms_rare_and_the_slowdown_is_found_in_new_runs(
    phase_noise: PhaseNoise,
) -> None:
    """200 new runs of the machine: 1 % alarms at most, but for chance; of the slowdown 75 %.

    A single run says only roughly how noisy the machine is, so that its 90 % may be fewer.
    """
    old, new = worlds.interleaved(np.random.default_rng(1), 200, N)
    alarms = [noise.raises_alarm(logs, phase_noise.threshold, TESTS) for logs in new - old]
    more = np.log1p(phase_noise.least_slowdown)
    seen = [noise.raises_alarm(logs + more, phase_noise.threshold, TESTS) for logs in new - old]
    assert np.mean(alarms) <= 0.02
    assert np.mean(seen) >= 0.75
    assert 0.01 <= phase_noise.threshold < phase_noise.least_slowdown < 0.3
    assert phase_noise.low <= phase_noise.alarms / phase_noise.splits <= phase_noise.high


def test_of_its_own_noise_one_in_a_hundred_exceeds_it_and_nine_in_ten_are_seen() -> None:
    """Counted on other splits than it was made from."""
    old, new = worlds.interleaved(np.random.default_rng(5), 1, N)
    phase_noise = noise.measure_phase(times(old[0]), times(new[0]), tests=TESTS, splits=300)
    logs = np.array(list(noise.draw_splits(new[0] - old[0], 1000, np.random.default_rng(9))))
    exceeded = np.mean(np.median(logs, axis=1) > np.log1p(phase_noise.threshold))
    assert 0.0 < exceeded <= 0.025
    more = np.log1p(phase_noise.least_slowdown)
    seen = np.mean(
        [noise.raises_alarm(series + more, phase_noise.threshold, TESTS) for series in logs[:300]]
    )
    assert 0.84 <= seen <= 0.98


def test_a_quiet_machine_sees_more_than_a_busy_one() -> None:
    rng = np.random.default_rng(2)
    quiet, busy = (
        noise.measure_phase(
            times(rng.normal(0, spread, N)), times(rng.normal(0, spread, N)), tests=1, splits=60
        )
        for spread in (0.003, 0.2)
    )
    assert quiet.threshold == pytest.approx(noise.LEAST)
    assert quiet.least_slowdown < 0.03 < busy.least_slowdown
    assert quiet.spread == pytest.approx(0.003 * np.sqrt(2), rel=0.3)


def test_an_alarm_is_that_of_a_gate_with_so_many_tests() -> None:
    """10 of 12 clips slower, the two least not: p = 10 / 4096, an alarm of 20 tests and no more."""
    logs = np.full(12, 0.2) + np.arange(12) / 100
    logs[[0, 1]] *= -1
    assert measure_change(times(np.zeros(12)), times(logs)).p_value == 10 / 4096
    assert [noise.raises_alarm(logs, 0.05, tests) for tests in (1, 20, 21)] == [True, True, False]


def test_a_machine_on_which_nothing_can_be_seen_says_so() -> None:
    rng = np.random.default_rng(3)
    old, new = (times(rng.normal(0, 4.0, 12)) for _ in "ab")
    assert noise.measure_phase(old, new, tests=50, splits=40).least_slowdown is None


def test_splits_are_symmetric_and_keep_the_size_of_the_noise() -> None:
    rng = np.random.default_rng(4)
    logs = rng.normal(0.5, 0.1, N)
    splits = np.array(list(noise.draw_splits(logs, 500, rng)))
    assert splits.shape == (500, N)
    assert abs(splits.mean()) < 0.02, "old and new are exchanged: a constant shift is no noise"
    assert np.abs(splits).mean() == pytest.approx(np.abs(logs).mean(), rel=0.01)


def test_pairs_are_by_clip_and_repeats_by_their_median() -> None:
    old = {"a": (100, 100, 400), "b": (100,), "c": (100,)}
    new = {"b": (200,), "a": (400,), "d": (100,)}
    assert noise.pair_logs(old, new) == pytest.approx(np.log([2.0, 4.0]))


def _noise(phase_noise: PhaseNoise) -> Noise:
    return Noise(
        schema=1,
        made_at="2026-11-20",
        system="star",
        clips=N,
        hardware=Hardware(device="cpu", cpu_model="Some CPU", gpu=None, threads=1),
        load_average=(0.1, 0.2, 0.3),
        phases={"generation": phase_noise},
    )


def test_the_file_and_what_the_doctor_says(tmp_path: Path, phase_noise: PhaseNoise) -> None:
    path = tmp_path / "runs" / NAME
    assert read(path) is None
    write(path, _noise(phase_noise))
    assert read(path) == _noise(phase_noise)
    (line,) = measure_noise.lines(_noise(phase_noise))
    assert f"threshold {100 * phase_noise.threshold:.1f} %" in line
    assert f"{phase_noise.alarms} of 150" in line
    text = path.read_text()
    assert f'"threshold": {phase_noise.threshold}' in text
    for wrong in (
        '{"schema": 1}',
        text.replace(f'"threshold": {phase_noise.threshold}', '"threshold": 0'),
    ):
        path.write_text(wrong)
        with pytest.raises(StabenchError, match="doctor --noise"):
            read(path)


def test_a_system_of_which_too_few_clips_could_be_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """11 of the clips that both sides have; and the file says how many clips there were."""
    both = {"generate": times(np.zeros(12) + 0.1)}
    for n, fine in ((11, False), (12, True)):
        few = {"generate": dict(list(both["generate"].items())[:n])}
        run = worlds.evidence(
            worlds.system("star+base", samples_ns=both), worlds.system("star+head", samples_ns=few)
        )
        monkeypatch.setattr(measure_noise, "run_interleaved", lambda *_args, **_known: None)
        monkeypatch.setattr(measure_noise.read_evidence, "read", lambda _path, run=run: run)
        if fine:
            made = measure_noise.measure_noise(tmp_path, out=tmp_path / "noise.json")
            assert (made.clips, set(made.phases)) == (12, {"generation"})
        else:
            with pytest.raises(StabenchError, match="fewer than 12 clips could be timed twice"):
                measure_noise.measure_noise(tmp_path, out=tmp_path / "noise.json")


def test_the_tests_that_share_a_family_are_those_of_the_policy() -> None:
    rules = policy.load(ROOT / "results" / "baselines" / "gate.toml")
    checks = len(rules.quality.effects) + len(rules.latency.phases)
    assert len(rules.systems) * checks == measure_noise.TESTS
