"""Metrics and sanity rows from a file: scored like ours, and what is wrong with one is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs.metrics_file import ColumnRecord, MetricsFile
from stabench.harness.scoring import score
from stabench.harness.scoring.sanity import OutsideRow, Sanity, load_row, load_rows
from stabench.harness.suites import protocols
from stabench.harness.suites.metrics import load_metric, load_metrics, metric_names
from stabench.metrics.registry import METRICS
from tests.harness.fake_run import EMBEDDERS
from tests.harness.scoring.test_sanity import made  # noqa: F401
from tests.harness.scoring.test_score_folders import sounds

METRIC = """
import numpy as np
from stabench.metrics.kl import measure as measure_kl
from stabench.metrics.registry import Metric
from stabench.metrics.sets import NotMeasurable, Ratio, Tested, TwoSample

def measure(metric, sets):
    return measure_kl(metric, sets)

METRIC = Metric(
    name="mine", label="Mine", better="lower", unit="nats", digits=2, version=1,
    needs=("tagger", "pair"), measure=measure, rules=("kl_epsilon",), about="KL again",
)
"""
BODY = "return measure_kl(metric, sets)"
ROW = """
import numpy as np
from stabench.harness.scoring.sanity import SanityRow
from stabench.metrics.audio import Audio

def make(clip, recording, random):
    return Audio(-recording.samples, recording.rate_hz)

ROW = SanityRow(name="upside-down", label="Upside down", make=make)
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a file with one text in the place of another; returns the name of what is in it."""

    def write_file(text: str, old: str = "", new: str = "", file: str = "mine.py") -> str:
        assert old in text
        path = tmp_path / file
        path.write_text(text.replace(old, new))
        return f"{path}:{'METRIC' if 'METRIC' in text else 'ROW'}"

    return write_file


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Scores two folders in some columns; returns metrics.json."""
    sounds(tmp_path / "reference")
    sounds(tmp_path / "a", seed=1)
    sounds(tmp_path / "b", seed=2, noise=0.3)

    def call(*columns: str, **given: Any) -> dict[str, Any]:
        protocol = protocols.load("pocket", EMBEDDERS)
        outputs = {"a": tmp_path / "a", "b": tmp_path / "b"}
        asked = {"columns": columns, "sanity": (), "bootstrap": 60, **given}
        out = tmp_path / "out"
        path = score.score_folders(tmp_path / "reference", outputs, None, out, protocol, **asked)
        return json.loads(path.read_text())

    return call


def test_a_metric_of_a_file_has_the_numbers_of_ours_and_says_whence(write, scored) -> None:
    name = write(METRIC)
    metrics = scored("kl", name)
    for system in metrics["systems"].values():
        assert system["cells"]["mine"] == system["cells"]["kl"]
        assert all(values["mine"] == values["kl"] for values in system["per_clip"].values())
    pairs = {pair["column"]: pair["difference"] for pair in metrics["paired"]}
    assert pairs["mine"] == pairs["kl"]
    ours, theirs = metrics["columns"]["kl"], metrics["columns"]["mine"]
    digest = sha256(Path(name.rpartition(":")[0]).read_bytes()).hexdigest()
    assert theirs.pop("source") == f"mine.py, sha256 {digest}"
    changed = {"label": "Mine", "about": "KL again"}
    assert theirs == {**ours, **changed}


def test_built_in_columns_are_written_as_before() -> None:
    record = ColumnRecord(label="KL", unit="nats", digits=2, better="lower", version=1)
    keys = [
        "label",
        "unit",
        "digits",
        "better",
        "version",
        "about",
        "protocol",
        "embedder",
        "rules",
    ]
    assert list(record.model_dump(mode="json")) == keys
    assert ColumnRecord.model_validate(record.model_dump()) == record
    schema = MetricsFile.model_json_schema()["$defs"]["ColumnRecord"]
    assert "source" not in schema["required"]


def test_names_are_looked_up_without_an_import() -> None:
    assert metric_names()[: len(METRICS)] == tuple(METRICS)
    assert load_metric("kl") is METRICS["kl"]
    columns = load_metrics(["kl", "clap", "kl"])
    assert columns.names == ("kl", "clap")
    assert columns.sources == {}
    with pytest.raises(StabenchError, match="unknown column 'klx'; did you mean 'kl'"):
        load_metric("klx")
    with pytest.raises(MissingError, match="no such file"):
        load_metric("gone.py:METRIC")


RESULTS = {
    "list": ("return [1.0]", "returned list as values; return an array [N] of floats"),
    "number": ("return 1.0", "returned float as values; return an array"),
    "none": ("pass", "returned NoneType as values"),
    "short": ("return np.zeros(3)", "returned values float64 [3], expected float [12]"),
    "whole numbers": (
        "return np.zeros(12, int)",
        "returned values int64 [12], expected float [12]",
    ),
    "nan": (
        "return np.array([np.nan] + [0.0] * 11)",
        "returned nan for clip 'Y_00', one of 1 values that are not finite; give a number",
    ),
    "sample": ("return TwoSample(1.0, np.zeros(2), np.zeros(0))", "returned gen float64 [2]"),
    "references": (
        "return TwoSample(1.0, np.zeros(12), np.zeros(2))",
        "returned ref float64 [2], expected float [12]",
    ),
    "infinite": (
        "return Tested(TwoSample(np.inf, np.zeros(12), np.zeros(12)), 0.5)",
        "returned the value inf; raise NotMeasurable",
    ),
    "p-value": (
        "return Tested(TwoSample(1.0, np.zeros(12), np.zeros(12)), 0.0)",
        "returned p = 0.0; give 0 < p <= 1",
    ),
    "ratio": ("return Ratio(np.ones(12), np.ones(1))", "returned denominators float64 [1]"),
    "raises": ("return {}['x']", "raised KeyError: 'x' (mine.py:8); mend it, then score again"),
    "value error": ("raise ValueError('no')", "raised ValueError: no (mine.py:8)"),
    "too much": ("return sets.window_thresholds", "raised KeyError: 'timeline' (mine.py:8)"),
}


@pytest.mark.parametrize("fault", RESULTS)
def test_what_a_metric_may_not_return_is_one_line(fault: str, write, scored) -> None:
    body, line = RESULTS[fault]
    with pytest.raises(StabenchError) as caught:
        scored("kl", write(METRIC, BODY, body))
    text = str(caught.value)
    assert text.startswith(f"metric 'mine' (mine.py) {line}")
    assert "\n" not in text


def test_every_shape_that_the_engine_knows_may_be_returned(write, scored) -> None:
    for body in (
        "return TwoSample(2.0, np.zeros(12), np.zeros(0))",
        "return Tested(TwoSample(2.0, np.zeros(12), np.zeros(12)), 0.5)",
        "return Ratio(np.full(12, 4.0), np.full(12, 2.0))",
        "return np.full(12, 2.0, np.float32)",
    ):
        name = write(METRIC, BODY, body, file=f"m{abs(hash(body))}.py")
        assert scored(name)["systems"]["a"]["cells"]["mine"]["value"] == 2.0


def test_a_metric_may_say_why_it_has_no_number(write, scored) -> None:
    metrics = scored(write(METRIC, BODY, "raise NotMeasurable('the sounds are too short')"))
    cell = metrics["systems"]["a"]["cells"]["mine"]
    assert (cell["value"], cell["reason"]) == (None, "the sounds are too short")


DECLARATIONS = {
    "name": ('name="mine"', 'name="my metric"', "its name is 'my metric'; give a letter"),
    "ours": ('name="mine"', 'name="kl"', "its name 'kl' is that of a built-in column; rename it"),
    "total": (
        'name="mine"',
        'name="total"',
        "its name 'total' is that of another column of the",
    ),
    "time": (
        'name="mine"',
        'name="processing"',
        "its name 'processing' is that of another column of the",
    ),
    "label": ('label="Mine"', 'label=""', "its label is ''; give what a table calls it"),
    "two lines": ('about="KL again"', 'about="KL\\nagain"', "about is 'KL\\nagain'; give one line"),
    "unit": ('unit="nats"', "unit=None", "unit is None; give one line of text"),
    "better": ('better="lower"', 'better="less"', "better is 'less'; give 'lower' or 'higher'"),
    "digits": ("digits=2", "digits=99", "digits is 99; give a whole number, 0 to 9"),
    "version": ("version=1", "version=0", "version is 0; give a whole number, 1 or more"),
    "needs": ('"tagger", "pair"', '"tager",', "needs: unknown word 'tager'; did you mean 'tagger'"),
    "text": ('("tagger", "pair")', '"tagger"', "needs is 'tagger'; give a tuple"),
    "nothing": ('"tagger", "pair"', '"pair",', "needs is ('pair',); name a network that hears"),
    "labels": ('"tagger", "pair"', '"fad", "labels"', "needs has 'labels' without 'tagger'"),
    "rules": ('"kl_epsilon",', '"epsilon",', "rules: unknown word 'epsilon'; did you mean"),
    "measure": ("measure=measure", "measure=5", "measure is 5; give a function of (metric, sets)"),
    "module": ("measure=measure", "measure='a.b:c'", "module 'a.b' cannot be imported"),
}


@pytest.mark.parametrize("fault", DECLARATIONS)
def test_a_wrong_declaration_is_one_line(fault: str, write) -> None:
    old, new, line = DECLARATIONS[fault]
    name = write(METRIC, old, new)
    with pytest.raises(StabenchError) as caught:
        load_metrics([name])
    assert str(caught.value).startswith(f"column '{name}': {line}")


def test_two_metrics_of_one_name_are_refused(write) -> None:
    names = [write(METRIC), write(METRIC, "KL again", "KL once more", file="other.py")]
    with pytest.raises(StabenchError, match=r"another column is called 'mine' too \(mine.py, sha"):
        load_metrics(names)


def test_a_row_of_a_file_has_sounds_of_its_own(write, made) -> None:  # noqa: F811
    rows = dict(made[2].rows(load_rows(["silence", write(ROW)])))
    assert list(rows) == ["silence", "upside-down"]
    row = rows["upside-down"]
    assert row.source.startswith("mine.py, sha256 ")
    # Turned upside down a sound has the same spectrum: the judges hear the recordings themselves.
    assert row.cells["kl"].value == pytest.approx(0.0, abs=1e-6)
    assert (row.clips, row.label) == (24, "Upside down")
    assert rows["silence"].source is None


SOUNDS = {
    "array": ("return recording.samples", "make returned ndarray; return Audio(samples, rate_hz)"),
    "none": ("pass", "make returned NoneType"),
    "2-d": ("return Audio(recording.samples[None], 8_000)", "make returned Audio; return Audio("),
    "empty": ("return Audio(recording.samples[:0], 8_000)", "make returned no samples"),
    "nan": ("return Audio(recording.samples * np.nan, 8_000)", "make returned no samples, or some"),
    "raises": (
        "return recording.gone",
        "AttributeError: 'Audio' object has no attribute 'gone' (m",
    ),
}


@pytest.mark.parametrize("fault", SOUNDS)
def test_a_row_that_gives_no_sound_is_one_line(fault: str, write, made) -> None:  # noqa: F811
    body, line = SOUNDS[fault]
    row = load_row(write(ROW, "return Audio(-recording.samples, recording.rate_hz)", body))
    with pytest.raises(StabenchError) as caught:
        dict(made[2].rows((row,)))
    assert str(caught.value).startswith(f"sanity row 'upside-down', clip 'clip001': {line}")


def test_random_numbers_of_a_row_are_those_of_its_clip(write, made) -> None:  # noqa: F811
    body = "return Audio(random.standard_normal(800).astype(np.float32), 16_000)"
    row = load_row(write(ROW, "return Audio(-recording.samples, recording.rate_hz)", body))
    assert isinstance(row, OutsideRow)
    exam, references, sanity = made
    first, again = (dict(sanity.rows((row,)))["upside-down"] for _ in range(2))
    assert first.cells == again.cells
    other = Sanity(replace(exam, seed=4), references, sanity.columns, sanity.progress)
    assert dict(other.rows((row,)))["upside-down"].cells["kl"] != first.cells["kl"]


def test_a_wrong_row_is_one_line(write) -> None:
    for old, new, line in (
        ('name="upside-down"', 'name="noise"', "its name 'noise' is that of a built-in row"),
        ('name="upside-down"', 'name=""', "its name is ''; give a letter"),
        ('label="Upside down"', 'label=" "', "its label is ' '; give what a table calls it"),
        ("make=make", "make=3", "make is 3; give a function of (clip, recording, random)"),
    ):
        name = write(ROW, old, new, file=f"row{len(old + new)}.py")
        with pytest.raises(StabenchError) as caught:
            load_row(name)
        assert str(caught.value).startswith(f"sanity row '{name}': {line}")
    with pytest.raises(StabenchError, match="unknown sanity row 'noize'; did you mean 'noise'"):
        load_row("noize")
