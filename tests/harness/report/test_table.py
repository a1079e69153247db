"""The table of a run: what stands in which cell, and why some cells are empty."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.report.report import report, report_json
from stabench.harness.report.table import Row, table, tabulate
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

ROOT = Path(__file__).resolve().parents[3]
PAPER = ["processing", "generation", "total", "rtf", "fad", "fd", "kl", "is", "clap", "ovl", "rel"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A scored run with a failure and sanity rows."""
    run = FakeRun(
        tmp_path_factory.mktemp("run"),
        failed={"star": ["clip005"]},
        metrics={"sanity": ["other-half", "silence"]},
    )
    made = run.make()
    score_run(made.path)
    return made


def by_name(folder: RunFolder) -> dict[str, Row]:
    return {row.system: row for row in table(folder.path)}


def rewrite(folder: RunFolder, **changes: Any) -> None:
    """Change every row of the journal."""
    rows = [json.loads(line) for line in folder.journal_path.read_text().splitlines()]
    lines = (json.dumps({**row, **changes}) + "\n" for row in rows)
    folder.journal_path.write_text("".join(lines))


def test_rows_stand_in_groups_and_columns_in_the_paper_s_order(folder):
    found = tabulate(Results.read(folder.path))
    assert [(row.system, row.paradigm) for row in found.rows] == [
        ("cascade", "cascade"),
        ("star", "end-to-end"),
        ("oracle", "oracle"),
        ("other-half", "sanity"),
        ("silence", "sanity"),
    ]
    assert [column.key for column in found.columns] == [*PAPER, "recall", "wer"]
    assert all(row.cells.keys() == {c.key for c in found.columns} for row in found.rows)


def test_titles_point_to_the_better_side(folder):
    titles = {column.key: column.title for column in tabulate(Results.read(folder.path)).columns}
    assert titles["processing"] == "Processing (ms) ↓"
    assert titles["clap"] == "CLAP ↑"
    assert (titles["is"][-1], titles["fad"][-1], titles["rel"][-1]) == ("↑", "↓", "↑")


def test_latencies_are_mean_and_sd_of_the_journal_in_the_column_s_unit(folder):
    walls = [r for r in folder.rows() if r.system == "star" and r.ok]
    cells = by_name(folder)["star"].cells
    represent = [row.phase_ns["represent"] / 1e6 for row in walls]
    generate = [row.phase_ns["generate"] / 1e9 for row in walls]
    assert cells["processing"].value == pytest.approx(statistics.fmean(represent))
    assert cells["processing"].sd == pytest.approx(statistics.stdev(represent))
    assert cells["generation"].value == pytest.approx(statistics.fmean(generate))
    assert cells["generation"].low < cells["generation"].value < cells["generation"].high


def test_quality_comes_from_metrics_json_with_n_and_failures(folder):
    metrics = json.loads(folder.metrics_path.read_text())
    row = by_name(folder)["star"]
    assert (row.n, row.failed, row.label) == (23, 1, "STAR")
    for key, cell in metrics["systems"]["star"]["cells"].items():
        assert (row.cells[key].value, row.cells[key].low) == (cell["value"], cell.get("low"))
        assert row.cells[key].reason == cell.get("reason")


def test_listeners_are_named_and_never_invented(folder):
    for row in table(folder.path):
        assert row.cells["ovl"][:3] == (None, None, None)
        assert row.cells["rel"].reason == "not measured"


def test_before_scoring_there_are_latencies_only(tmp_path):
    made = FakeRun(tmp_path, n=4, failed={"star": ["clip001"]}).make()
    row = by_name(made)["star"]
    assert row.cells["fad"].reason == "not scored"
    assert row.cells["processing"].value > 0
    assert (row.n, row.failed) == (3, 1)


def test_offline_runs_show_no_latency(tmp_path):
    made = FakeRun(tmp_path, n=4, protocol={"scenario": "offline", "batch_size": 4}).make()
    assert by_name(made)["star"].cells["processing"].value is None
    assert "offline" in by_name(made)["star"].cells["generation"].reason


def test_represent_only_shows_the_processing_latency(tmp_path):
    made = FakeRun(tmp_path, n=4, request={"phase": "represent"}).make()
    rewrite(made, phase_ns={"represent": 5_000_000}, audio_sha256=None, spans=[])
    cells = by_name(made)["star"].cells
    assert cells["processing"].value > 0
    assert cells["generation"].reason == "not run (--phase represent)"


def test_warm_ups_and_failures_are_not_timed(tmp_path):
    made = FakeRun(tmp_path, n=4).make()
    before = by_name(made)["star"].cells["processing"]
    first = json.loads(made.journal_path.read_text().splitlines()[4])
    odd = [{**first, "warmup": True, "phase_ns": {"represent": 10**12}}]
    odd += [{**first, "repeat": 1, "status": "failed", "phase_ns": {"represent": 10**12}}]
    with made.journal_path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in odd)
    assert by_name(made)["star"].cells["processing"] == before


@pytest.mark.parametrize("where", ["options", "provenance"])
def test_random_weights_show_latency_only(tmp_path, where):
    options = {"weights": "random"} if where == "options" else {}
    made = FakeRun(tmp_path, n=12, use={"use": "recorded", "options": options}).make()
    if where == "provenance":
        made.add_system("star", {"provenance": {"parts": [{"weights": "random"}]}})
    score_run(made.path)
    cells = by_name(made)["star"].cells
    assert cells["fad"] == cells["fad"]._replace(value=None, low=None)
    assert cells["fad"].reason == "random weights: latency only"
    assert cells["processing"].value > 0
    assert cells["ovl"].reason == "not measured"
    assert not any("star" in (line.a, line.b) for line in Results.read(made.path).paired)


def test_scores_of_a_system_on_random_weights_are_not_shown(tmp_path):
    made = FakeRun(tmp_path, n=12).make()
    score_run(made.path)
    assert by_name(made)["star"].cells["fad"].value is not None
    made.add_system("star", {"provenance": {"weights": "random"}})
    cell = by_name(made)["star"].cells["fad"]
    assert (cell.value, cell.low, cell.reason) == (None, None, "random weights: latency only")
    results = Results.read(made.path)
    paired = report_json(results, tabulate(results))["paired"]
    assert {(line["a"], line["b"]) for line in paired} == {("oracle", "cascade")}


def test_a_folder_without_results_and_a_damaged_metrics_file(tmp_path):
    with pytest.raises(MissingError, match=r"no run\.json"):
        table(tmp_path)
    made = FakeRun(tmp_path, n=4).make()
    made.metrics_path.write_text('{"schema": 1, "stray": 2}')
    with pytest.raises(StabenchError, match=r"metrics\.json: key .* score the run again"):
        table(made.path)


def test_a_report_is_made_again_without_heavy_packages(folder):
    script = (
        "import sys, pathlib, stabench.harness.report.report as r;"
        "r.report(pathlib.Path(sys.argv[1]));"
        "heavy = {'torch', 'scipy', 'transformers', 'jiwer', 'pandas'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_report_is_the_same_when_made_again(folder, capsys):
    names = ("report.md", "report.csv", "report.json")
    report(folder.path)
    first = [(folder.path / name).read_bytes() for name in names]
    report(folder.path)
    assert [(folder.path / name).read_bytes() for name in names] == first
    assert capsys.readouterr().out


def test_systems_of_one_label_have_their_name_in_it(tmp_path):
    systems = (("a", "end-to-end", "STAR"), ("b", "end-to-end", "STAR"), ("c", "oracle", "Told"))
    found = tabulate(Results.read(FakeRun(tmp_path, n=2, systems=systems).make().path))
    assert found.labels == {"a": "STAR (a)", "b": "STAR (b)", "c": "Told"}
