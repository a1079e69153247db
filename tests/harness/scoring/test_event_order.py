"""Event order and overlap from a run to its scores, its report and a comparison."""

import json

import pytest
from typer.testing import CliRunner

from stabench.harness.cli.main import app
from stabench.harness.compare.command import compare_runs
from stabench.harness.errors import StabenchError
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.features import Heard
from stabench.harness.scoring.score import score_run
from tests.harness.scoring.timeline import DROPS, HERE, KEEPS, MIXES, SWAPS, SteppedRun, Timeline

METRICS = {
    "columns": ["recall", "order", "overlap"],
    "timeline": f"{HERE}:Timeline",
    "sanity": ["noise", "shuffled"],
}
N = 36


def score(folder: RunFolder) -> dict:
    return json.loads(score_run(folder.path).read_text())


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = SteppedRun(tmp_path_factory.mktemp("run"), n=N, metrics=METRICS).make()
    return folder, score(folder)


def test_each_system_gets_what_it_plays(scored):
    _, metrics = scored
    values = {
        name: [part["cells"][column]["value"] for column in ("order", "overlap")]
        for name, part in metrics["systems"].items()
    }
    assert values.keys() == {KEEPS, SWAPS, MIXES, DROPS}
    assert values[KEEPS] == [1, 1]
    assert values[SWAPS] == [0, 0]
    assert values[DROPS] == [0, 0]
    assert 0 < values[MIXES][0] < 1
    assert values[MIXES][1] == 1


def test_only_the_clips_that_say_so_count(scored):
    folder, metrics = scored
    for column, steps in (("order", 2), ("overlap", 1)):
        asked = {
            clip.id for clip in folder.clips if len(clip.steps) == steps and len(clip.labels) == 2
        }
        assert len(asked) == N / 3
        for part in metrics["systems"].values():
            assert {clip for clip, each in part["per_clip"].items() if column in each} == asked
            assert part["cells"][column]["n"] == N / 3


def test_the_column_names_its_network_and_what_chance_is(scored):
    _, metrics = scored
    assert metrics["columns"]["order"]["embedder"] == "timeline"
    assert "by chance half" in metrics["columns"]["order"]["about"]
    assert metrics["provenance"]["embedders"]["timeline"]["width"] == 3
    assert metrics["sanity"]["noise"]["cells"]["order"]["value"] == 0


def test_paired_differences_and_intervals_are_of_those_clips(scored):
    _, metrics = scored
    [line] = [
        line
        for line in metrics["paired"]
        if (line["a"], line["b"], line["column"]) == (KEEPS, SWAPS, "order")
    ]
    assert (line["difference"]["value"], line["difference"]["n"]) == (1, N / 3)


def test_the_report_shows_it(scored):
    folder, _ = scored
    result = CliRunner().invoke(app, ["report", str(folder.path)])
    assert result.exit_code == 0, result.output
    report = (folder.path / "report.md").read_text()
    assert "Event order" in report
    assert "Event overlap" in report


def test_a_system_that_loses_the_order_is_a_regression(scored, tmp_path):
    """Nothing but `order` tells."""
    folder, _ = scored
    later = SteppedRun(tmp_path, n=N, metrics=METRICS, turned=True).make()
    score_run(later.path)
    assert compare_runs(folder.path, later.path, out=tmp_path / "found") == 1
    found = json.loads((tmp_path / "found" / "compare.json").read_text())
    words = {
        (system["new"], line["key"]): line["verdict"]
        for system in found["systems"]
        for line in system["lines"]
    }
    assert [key for key, word in words.items() if word == "regressed"] == [(KEEPS, "order")]
    assert words[KEEPS, "overlap"] == "same"


def test_run_json_keeps_the_steps_and_older_ones_have_none(scored):
    folder, _ = scored
    path = folder.path / "run.json"
    assert RunFolder.open(folder.path).clips == folder.clips
    assert any(len(clip.steps) == 2 for clip in RunFolder.open(folder.path).clips)
    record, text = json.loads(path.read_text()), path.read_text()
    for clip in record["dataset"]["clips"]:
        del clip["steps"]
    del record["suite"]["metrics"]["timeline"]
    try:
        path.write_text(json.dumps(record))
        older = RunFolder.open(folder.path)
        assert {clip.steps for clip in older.clips} == {()}
        assert older.suite.metrics.timeline is None
    finally:
        path.write_text(text)


@pytest.mark.parametrize(
    ("change", "stepped", "reasons"),
    [
        (
            {},
            False,
            {
                "order": "no clip says that one event comes after another",
                "overlap": "no clip says that events sound together",
            },
        ),
        (
            {"timeline": f"{HERE}:Untrained"},
            True,
            dict.fromkeys(("order", "overlap"), "the timeline has no thresholds"),
        ),
        (
            {"protocol": "stabench", "timeline": None},
            True,
            dict.fromkeys(("order", "overlap"), "no timeline network is named"),
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path, change, stepped, reasons):
    known = {"columns": ["order", "overlap"], "sanity": []}
    run = SteppedRun(tmp_path, n=6, stepped=stepped, metrics={**METRICS, **known, **change})
    cells = score(run.make())["systems"][KEEPS]["cells"]
    assert {column: cells[column]["reason"] for column in reasons} == reasons
    assert {cells[column]["value"] for column in reasons} == {None}


def test_a_label_that_the_network_does_not_know_is_named():
    exam = Exam({}, None, {"timeline": Named()}, Heard({}))
    assert exam.steps([Item(steps=(("low",), ("high",)))]) == [((0,), (2,))]
    with pytest.raises(StabenchError, match="unknown label 'hihg'; did you mean 'high'"):
        exam.steps([Item(steps=(("low",), ("hihg",)))])


def test_a_recording_whose_clips_differ_has_no_steps():
    same, other = (("low",), ("high",)), (("high",), ("low",))
    items = {
        "a": Item(references=("r",), steps=same),
        "b": Item(references=("r",), steps=same),
        "c": Item(references=("s",), steps=same),
        "d": Item(references=("s",), steps=other),
    }
    probes = Exam(items, None, {}, Heard({}, {"r": "1", "s": "2"})).probes
    assert (probes["r"].steps, probes["s"].steps) == (same, ())


class Named:
    embedder = Timeline()
