"""A figure of a metric that its system was trained on is marked wherever it is shown."""

import json
from pathlib import Path

import pytest

from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Page
from stabench.harness.report.latex import latex
from stabench.harness.report.ranking import find_marks
from stabench.harness.report.sections import describe_results
from stabench.harness.report.summary import summarize
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from stabench.harness.suites.trained_on import TRAINED
from tests.harness.fake_run import FakeRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = FakeRun(tmp_path_factory.mktemp("run")).make()
    score_run(made.path)
    record = json.loads((made.path / "run.json").read_text())
    record["suite"]["system"][0]["use"] = "whisper-tango2"
    record["suite"]["system"][1]["trained_on"] = ["fad"]
    (made.path / "run.json").write_text(json.dumps(record))
    return made.path


def test_the_report_marks_the_cells_alone_and_says_what_the_mark_means(run):
    results = Results.read(run)
    table = tabulate(results)
    section = describe_results(table, find_marks(results, table))
    assert section.grid is not None
    keys = [column.key for column in table.columns]
    marked = {
        (line.cells[0].under or line.cells[0].main, keys[index])
        for line in section.grid.lines
        for index, cell in enumerate(line.cells[2:])
        if TRAINED in cell.main
    }
    assert marked == {("cascade", "clap"), ("star", "fad")}
    text = to_markdown(Page("t", "", (section,)))
    assert f"{TRAINED} Whisper + tones, STAR: trained on this metric" in text


def test_the_summary_and_the_paper_s_table_mark_them_too(run):
    results = Results.read(run)
    table = tabulate(results)
    summary = to_markdown(summarize(results, table, find_marks(results, table)))
    assert summary.count(TRAINED) == 3
    tex = latex(results, table)
    assert tex.isascii()
    assert tex.count(r"\S}$") == 2
    assert r"\S{} Whisper + tones, STAR: trained on this metric" in tex


def test_a_run_without_such_a_system_has_neither_mark_nor_note(run, tmp_path):
    for name in ("run.json", "metrics.json", "journal.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    record = json.loads((tmp_path / "run.json").read_text())
    record["suite"]["system"][0]["use"] = "whisper-audit"
    del record["suite"]["system"][1]["trained_on"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    results = Results.read(tmp_path)
    table = tabulate(results)
    assert TRAINED not in to_markdown(summarize(results, table, find_marks(results, table)))
