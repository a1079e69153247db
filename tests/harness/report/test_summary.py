"""The summary: one table that fits, findings that follow from the numbers, the next command."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stabench.harness.formatting import figure
from stabench.harness.render.page import Page
from stabench.harness.render.terminal import print_page
from stabench.harness.report.ranking import find_marks
from stabench.harness.report.summary import summarize
from stabench.harness.report.table import Table, tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

NOISY = {"cascade": 0.5, "star": 0.02}


def _read(path: Path) -> tuple[Results, Table, Page]:
    results = Results.read(path)
    table = tabulate(results)
    return results, table, summarize(results, table, find_marks(results, table))


def _scored(tmp_path: Path, **how: Any) -> Path:
    folder = FakeRun(tmp_path, n=73, **how).make().path
    score_run(folder)
    return folder


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    return _scored(tmp_path, noise=NOISY, failed={"star": ["clip003"]})


def test_the_table_has_every_measured_number_and_fits_100_columns(scored: Path) -> None:
    _, table, page = _read(scored)
    stream = io.StringIO()
    print_page(page, Console(file=stream, width=100))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    grid = page.section("summary").grid
    assert grid is not None
    heads = [head.text for head in grid.heads]
    assert heads[:3] == ["System", "Processing (ms) ↓", "Total (s) ↓"]
    # What is left out follows from what is there, or was not measured.
    assert {head.split(" ")[0] for head in heads} >= {"FAD", "FD", "KL", "IS", "CLAP"}
    assert not {"Generation", "RTF", "OVL", "REL"} & {head.split(" ")[0] for head in heads}
    shown = {column.key: column for column in table.columns if column.title in heads}
    for row in table.systems:
        assert row.label in text
        for key, column in shown.items():
            value = row.cells[key].value
            assert value is None or figure(value, column.digits) in text


def test_the_findings_say_who_is_ahead_by_the_paired_tests(scored: Path) -> None:
    results, table, page = _read(scored)
    findings = page.section("findings").points
    ratio = results.latency_ratio("cascade", "star", "represent")
    assert ratio.value is not None
    # What keeps a column from being read comes first: the toy CLAP knows no tones.
    assert findings[0].startswith("CLAP: no order can be read.")
    first = f"Processing of Whisper + tones takes {figure(ratio.value, 2)} times as long as"
    assert any(text.startswith(first) for text in findings)
    [quality] = (text for text in findings if "is ahead in" in text and "paired" in text)
    for record in results.paired:
        if {record.a, record.b} == {"cascade", "star"} and record.difference.low is not None:
            label = next(c.label for c in table.columns if c.key == record.column)
            assert label in quality
    assert "STAR: 1 of 73 clips failed; report.md says why." in findings


def test_what_mishearing_costs_is_said_where_the_oracle_is_ahead(tmp_path: Path) -> None:
    folder = _scored(tmp_path, noise=NOISY, deaf=("cascade",))
    [cost] = (text for text in _read(folder)[2].section("findings").points if "mishears" in text)
    assert cost.startswith("What Whisper + tones mishears costs ")
    assert "KL" in cost


def test_equals_are_not_called_ahead_and_single_rows_are_not_compared(tmp_path: Path) -> None:
    twins = (("cascade", "cascade", "A"), ("star", "end-to-end", "B"))
    folder = FakeRun(tmp_path / "twins", systems=twins, noise={}).make().path
    points = _read(folder)[2].section("findings").points
    assert not any("ahead" in text for text in points)
    alone = FakeRun(tmp_path / "alone", systems=twins[:1]).make().path
    points = _read(alone)[2].section("findings").points
    assert not any("times as long" in text or "ahead" in text for text in points)


def test_few_clips_show_no_order(tmp_path: Path) -> None:
    folder = FakeRun(tmp_path, n=24, noise=NOISY).make().path
    score_run(folder)
    points = _read(folder)[2].section("findings").points
    assert "With 24 clips the columns of quality show no order." in points
    assert not any("ahead" in text for text in points)


def test_the_next_command_names_the_run(scored: Path) -> None:
    results, _, page = _read(scored)
    assert f"stabench report {results.folder}" in page.section("next").points[1]
