"""gate.toml is strict: every slip is named, with what is allowed."""

from pathlib import Path

import pytest

from stabench.harness.compare.verdict import Bounds
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate import policy
from stabench.harness.tasks.speech_to_audio import TASK

ROOT = Path(__file__).resolve().parents[3]


def test_the_policy_of_the_pocket_suite() -> None:
    rules = policy.load(ROOT / "results" / "baselines" / "gate.toml")
    assert rules.systems == ("cascade", "star")
    assert {"fad", "fd", "kl", "is", "clap", "recall"} <= set(rules.quality.effects)
    assert rules.latency.threshold is None
    assert rules.latency.unmeasured == pytest.approx(0.05)


def test_effects_in_the_unit_and_in_percent() -> None:
    value = {"quality": {"effects": {"kl": 0.1, "fad": "2 %"}}, "latency": {"threshold": "12.5 %"}}
    rules = policy.parse("policy", value)
    assert rules.quality.effects["kl"].bounds(old=3.0) == Bounds(0.1, 0.1)
    assert rules.quality.effects["fad"].bounds(old=-5.0) == pytest.approx(Bounds(0.1, 0.1))
    assert rules.latency.threshold == pytest.approx(0.125)


def test_nothing_said_guards_both_latencies_and_no_failures() -> None:
    rules = policy.parse("policy", {})
    assert rules.latency.guarded(TASK) == ("processing", "generation")
    assert (rules.max_failed_share, rules.quality.effects) == (0.0, {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sistems": []}, "unknown key 'sistems'; did you mean 'systems'?"),
        ({"latency": {"treshold": "5 %"}}, "latency: unknown key 'treshold'; did you mean"),
        ({"quality": {"effects": {"clpa": 1}}}, "unknown metric 'clpa'; did you mean 'clap'?"),
        ({"quality": {"effects": {"fad": "2"}}}, "'2' is no percentage"),
        ({"quality": {"effects": {"fad": -1}}}, "-1 is no effect"),
        ({"quality": {"effects": {"fad": True}}}, "True is no effect"),
        ({"quality": {"effects": {"fad": float("nan")}}}, "nan is no effect"),
        ({"quality": {"provenance": "any"}}, "quality.provenance is 'any'"),
        ({"latency": {"threshold": 5}}, "5 is no percentage"),
        ({"latency": {"threshold": "0 %"}}, "'0 %' is no percentage"),
        ({"max_failed_share": 2}, "max_failed_share is 2"),
    ],
)
def test_slips_are_named(value: dict, message: str) -> None:
    with pytest.raises(StabenchError, match=r"^policy: ") as caught:
        policy.parse("policy", value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_phase_that_the_task_does_not_time_is_named() -> None:
    rules = policy.parse("policy", {"latency": {"phases": ["processsing"]}})
    with pytest.raises(StabenchError, match=r"latency.phases: unknown phase .* 'processing'"):
        rules.latency.guarded(TASK)


def test_a_file_that_is_not_there_and_one_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        policy.load(tmp_path / "gate.toml")
    (tmp_path / "gate.toml").write_text("systems = [")
    with pytest.raises(StabenchError, match="not a TOML file"):
        policy.load(tmp_path / "gate.toml")
