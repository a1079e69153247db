"""What --system and --set make of a suite."""

from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites.select import select_systems, set_keys
from stabench.harness.suites.suite import Suite, parse

VALUE: dict[str, Any] = {
    "name": "small",
    "dataset": {"use": "folder", "speech": "wavs"},
    "metrics": {"columns": ["kl"], "sanity": ["noise"]},
    "system": [
        {"name": name, "use": "recorded", "options": {"directory": name}}
        for name in ("a", "b", "c.1")
    ],
}


@pytest.fixture
def suite() -> Suite:
    return parse("suite 'small'", VALUE)


def _names(suite: Suite) -> list[str]:
    return [system.name for system in suite.systems]


def test_systems_of_the_suite_come_in_the_order_given(suite: Suite) -> None:
    assert _names(select_systems(suite, ("c.1", "a"))) == ["c.1", "a"]
    assert select_systems(suite, ()) is suite


def test_a_registered_system_runs_in_any_suite(suite: Suite) -> None:
    [use] = select_systems(suite, ("whisper-tango2",)).systems
    assert (use.name, use.use, use.options) == ("whisper-tango2", "whisper-tango2", {})


def test_a_class_in_a_file_is_a_system_of_its_own_name(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    target = f"{tmp_path.resolve() / 'mine.py'}:Mine"
    [use] = select_systems(suite, ("mine.py:Mine",)).systems
    assert (use.name, use.use) == ("Mine", target)
    with pytest.raises(MissingError, match=r"'yours\.py': no such file"):
        select_systems(suite, ("yours.py:Mine",))


@pytest.mark.parametrize("what", ["a", "whisper-tango2", "mine.py:Mine"])
def test_any_of_them_may_get_another_name(
    suite: Suite, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    [plain] = select_systems(suite, (what,)).systems
    [renamed] = select_systems(suite, (f"run-2={what}",)).systems
    assert renamed == plain.model_copy(update={"name": "run-2"})


def test_the_same_system_twice_needs_two_names(suite: Suite) -> None:
    assert _names(select_systems(suite, ("a", "again=a"))) == ["a", "again"]
    with pytest.raises(StabenchError, match="system name 'a' is used 2 times"):
        select_systems(suite, ("a", "a"))


@pytest.mark.parametrize("name", ["noise", "silence", "shuffled", "other-half", "ceiling"])
def test_the_names_of_sanity_rows_are_reserved(suite: Suite, name: str) -> None:
    with pytest.raises(StabenchError, match=f"'{name}' is that of a sanity row; reserved are"):
        select_systems(suite, (f"{name}=a",))


def test_unknown_systems_get_the_nearest_name(suite: Suite) -> None:
    with pytest.raises(StabenchError, match="unknown system 'bb'; did you mean 'b'") as caught:
        select_systems(suite, ("bb",))
    assert "registered are" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["cascade:asr=whisper", "cascade:", "cascade:asr=a,tta=b,x=c"])
def test_a_cascade_lacks_no_half_and_has_no_third(suite: Suite, spec: str) -> None:
    with pytest.raises(StabenchError, match=r"expected cascade:asr=NAME,tta=NAME"):
        select_systems(suite, (spec,))


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("run.repeats=3", ("run", "repeats"), 3),
        ("protocol.repeats=3", ("run", "repeats"), 3),
        ("run.timeout_s=0.5", ("run", "timeout_s"), 0.5),
        ("metrics.columns=['kl', \"is\"]", ("metrics", "columns"), ["kl", "is"]),
        ("title=a dog = a title", ("title",), "a dog = a title"),
        ("title=", ("title",), ""),
        ("dataset.speech=other", ("dataset", "speech"), "other"),
        ("dataset.split=test", ("dataset", "split"), "test"),
        ("system.b.label=Bee", ("system", 1, "label"), "Bee"),
        ("system.b.options.steps=4", ("system", 1, "options", "steps"), 4),
        ("system.c.1.options.a.b=true", ("system", 2, "options", "a", "b"), True),
        ("system.a.options={steps = 2}", ("system", 0, "options"), {"steps": 2}),
    ],
)
def test_a_key_is_set_as_in_the_file(
    suite: Suite, assignment: str, key: tuple[Any, ...], value: Any
) -> None:
    changed: Any = set_keys(suite, (assignment,)).model_dump(mode="json", by_alias=True)
    place = changed
    for name in key:
        place = place[name]
    assert place == value
    # And nothing else is.
    whole: Any = suite.model_dump(mode="json", by_alias=True)
    before: Any = whole
    for name in key[:-1]:
        before = before.setdefault(name, {}) if isinstance(before, dict) else before[name]
    before[key[-1]] = value
    assert changed == whole


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("run.repeats", "--set 'run.repeats': expected KEY=VALUE"),
        ("=3", "--set '=3': expected KEY=VALUE"),
        ("run..x=3", "--set 'run..x=3': expected KEY=VALUE"),
        ("run.repeat=3", "run: unknown key 'repeat'; did you mean 'repeats'?"),
        ("run.repeats=0", "run.repeats is 0; input should be greater than or equal to 1"),
        ("run.repeats=many", "run.repeats is 'many'"),
        ("metrics.columns=['kll']", "unknown column 'kll'; did you mean 'kl'?"),
        ("system.bb.label=x", "unknown system 'bb'; did you mean 'b'?"),
        ("system.b.lable=x", "system.1: unknown key 'lable'; did you mean 'label'?"),
        ("name.x=3", "--set name.x: 'name' is a value, no table of keys"),
    ],
)
def test_a_wrong_assignment_is_one_line(suite: Suite, assignment: str, line: str) -> None:
    with pytest.raises(StabenchError) as caught:
        set_keys(suite, (assignment,))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_later_assignments_win_and_none_change_nothing(suite: Suite) -> None:
    assert set_keys(suite, ("run.seed=1", "run.seed=2")).run.seed == 2
    assert set_keys(suite, ()) is suite
