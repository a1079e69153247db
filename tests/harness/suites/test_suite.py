"""Suites: what is accepted, and that a mistake is answered with its key and the nearest name."""

import copy
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites import protocols
from stabench.harness.suites.suite import difference, load, parse

VALUE: dict[str, Any] = {
    "name": "small",
    "dataset": {"use": "folder", "speech": "wavs"},
    "run": {"repeats": 2},
    "metrics": {"columns": ["fad"], "fad": "vggish", "sanity": ["noise"]},
    "system": [{"name": "a", "use": "recorded", "options": {"directory": "x"}}],
}


def _with(key: str, value: object) -> dict[str, Any]:
    """VALUE with one dotted key set."""
    changed = copy.deepcopy(VALUE)
    *place, last = key.split(".")
    spot: Any = changed
    for name in place:
        spot = spot[int(name) if name.isdigit() else name]
    spot[last] = value
    return changed


MISTAKES = {
    "runn": ({}, "unknown key 'runn'; did you mean 'run'?"),
    "systems": ([], "unknown key 'systems'; did you mean 'system'?"),
    "run.warmup": (1, "run: unknown key 'warmup'; did you mean 'warmups'?"),
    "metrics.colums": ([], "metrics: unknown key 'colums'; did you mean 'columns'?"),
    "metrics.columns": (["fda"], "unknown column 'fda'; did you mean 'fd'?"),
    "metrics.sanity": (
        ["noize"],
        "metrics.sanity: unknown sanity row 'noize'; did you mean",
    ),
    "system.0.option": ({}, "system.0: unknown key 'option'; did you mean 'options'?"),
    "system.0.name": ("a/b", "system.0.name is 'a/b'"),
    "run.scenario": ("online", "run.scenario is 'online'"),
    "run.repeats": (0, "run.repeats is 0; input should be greater than or equal to 1"),
    "run.batch_size": (4, "batch_size is 4"),
    "run.timeout_s": ("soon", "run.timeout_s is 'soon'"),
    "dataset": ({}, "key 'dataset.use' is missing; add it"),
    "system": ([], "system is []"),
}


@pytest.mark.parametrize("key", MISTAKES)
def test_a_mistake_is_one_line_with_its_key(key: str) -> None:
    value, line = MISTAKES[key]
    with pytest.raises(StabenchError) as caught:
        parse("suite 'x'", _with(key, value))
    assert line in str(caught.value)
    assert str(caught.value).startswith("suite 'x': ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(StabenchError, match="system name 'a' is used 2 times"):
        parse("suite 'x'", _with("system", VALUE["system"] * 2))


def test_defaults_are_those_of_the_run_settings() -> None:
    settings = parse("suite 'x'", VALUE).run
    assert (settings.scenario, settings.warmups, settings.repeats) == ("single-stream", 2, 2)
    assert (settings.max_failed_share, settings.precision) == (0.0, "float32")


def test_run_settings_are_read_under_their_former_key_and_digested_under_it() -> None:
    former = {("protocol" if key == "run" else key): part for key, part in VALUE.items()}
    suite = parse("suite 'x'", VALUE)
    assert parse("suite 'x'", former) == suite
    # Stored digests of suites were made of this key, and older trees read no other.
    assert suite.resolved()["protocol"] == suite.run.model_dump(mode="json")
    assert "run" not in suite.resolved()
    with pytest.raises(
        StabenchError, match=r"has \[run\] and \[protocol\], two names of one table"
    ):
        parse("suite 'x'", {**VALUE, "protocol": {"repeats": 3}})


def test_the_resolved_suite_reads_back_the_same() -> None:
    suite = parse("suite 'x'", VALUE)
    assert parse("suite 'x'", suite.resolved()) == suite
    assert suite.dataset.options == {"speech": "wavs"}


def test_keys_that_are_younger_than_stored_digests_are_left_out_while_they_say_nothing() -> None:
    assert {"task", "notes"}.isdisjoint(parse("suite 'x'", VALUE).resolved())
    noted = parse("suite 'x'", _with("notes", ["two seeds differ"]))
    assert noted.resolved()["notes"] == ["two seeds differ"]
    assert parse("suite 'x'", noted.resolved()) == noted


def test_other_keys_of_the_dataset_are_its_options() -> None:
    assert parse("s", _with("dataset.split", "test")).dataset.options["split"] == "test"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("run.repeats", 3, "protocol.repeats was 2 and is 3"),
        ("system.0.options.directory", "y", "system.0.options.directory was 'x' and is 'y'"),
        ("dataset.speech", "other", "dataset.speech was 'wavs' and is 'other'"),
        ("dataset.split", "test", "dataset.split was None and is 'test'"),
    ],
)
def test_a_difference_names_its_key(key: str, value: object, line: str) -> None:
    then = parse("suite 'x'", VALUE).resolved()
    assert difference(then, parse("suite 'x'", VALUE).resolved()) is None
    assert difference(then, parse("suite 'x'", _with(key, value)).resolved()) == line


def test_files_that_are_missing_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no file"):
        load(str(tmp_path / "none.toml"))
    bad = tmp_path / "bad.toml"
    bad.write_text("name = ")
    with pytest.raises(StabenchError, match="not a TOML file"):
        load(str(bad))


def test_names_in_use_must_be_registered() -> None:
    with pytest.raises(StabenchError, match="unknown dataset 'foldr'; did you mean 'folder'"):
        parse("s", _with("dataset.use", "foldr")).check_names()
    with pytest.raises(StabenchError, match="unknown system 'recordd'; did you mean 'recorded'"):
        parse("s", _with("system.0.use", "recordd")).check_names()
    with pytest.raises(StabenchError, match="unknown embedder 'nothing-like-it'"):
        parse("s", _with("metrics.fad", "nothing-like-it")).check_names()


def test_the_demo_suite_is_valid() -> None:
    assert len(load("demo").systems) == 4


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name = 'x'\n".encode("utf-16"), "is UTF-16, expected text in UTF-8; save it as such"),
        ("# Höhle\n".encode("latin-1"), "line 1: byte 0xf6 is not UTF-8"),
        (b"a = " + b"[" * 100_000, "not a TOML file"),
        (b"name = 3 4\n", "not a TOML file"),
    ],
)
def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    for read in (load, protocols.load):
        with pytest.raises(StabenchError) as caught:
            read(str(path))
        assert line in str(caught.value)
        assert "\n" not in str(caught.value)
