"""The history: which runs it takes, what it keeps of them, and how it is guarded on the disk."""

import json
import shutil
import statistics
from dataclasses import replace
from typing import Any

import pytest

from stabench.harness.environment import Git
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.history import history, record
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

CLEAN = Git("a" * 40, "main", False)


def in_tree(folder: RunFolder, git: Git | None = CLEAN, **changes: Any) -> RunFolder:
    """The run as if made from a tree in that state."""
    environment = replace(folder.record.environment, git=git)
    folder.write_record(folder.record.model_copy(update={"environment": environment, **changes}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A scored run of a clean tree with one failed clip."""
    made = FakeRun(
        tmp_path_factory.mktemp("run"),
        failed={"star": ["clip005"]},
        metrics={"sanity": ["silence"]},
    ).make()
    score_run(made.path)
    return in_tree(made)


def test_a_record_holds_the_run_s_own_numbers(folder):
    line = record.record(Results.read(folder.path))
    metrics = json.loads(folder.metrics_path.read_text())
    assert set(line.systems) == {"cascade", "star", "oracle"}
    assert all(system.quality.keys() <= line.columns.keys() for system in line.systems.values())
    star = line.systems["star"]
    assert (star.n, star.failed, star.label) == (23, 1, "STAR")
    for key, cell in metrics["systems"]["star"]["cells"].items():
        if cell["value"] is None:
            assert key not in star.quality
        else:
            kept = star.quality[key]
            assert (kept.value, kept.low, kept.high, kept.n) == tuple(
                cell[name] for name in ("value", "low", "high", "n")
            )
    walls = [r.phase_ns["represent"] for r in folder.rows() if r.system == "star" and r.ok]
    assert star.median_ns["represent"].value == statistics.median(walls)
    assert star.median_ns["represent"].n == 23
    assert line.protocol.digest == metrics["provenance"]["protocol"]["digest"]
    identity = metrics["provenance"]["embedders"]["tagger"]["identity"]
    assert line.columns["kl"].identity == identity
    assert (line.source.commit, line.source.dirty) == ("a" * 40, False)
    assert line.dataset.n == 24


def test_a_record_is_one_line_that_reads_back_the_same(folder, tmp_path):
    path = tmp_path / "results" / "history.jsonl"
    written = record.add(folder.path, path)
    assert path.read_bytes().count(b"\n") == 1
    assert history.read(path) == [written]
    assert len(path.read_bytes()) < 20_000


def test_a_run_is_recorded_once_even_from_a_copy(folder, tmp_path):
    path = tmp_path / "history.jsonl"
    written = record.add(folder.path, path)
    before = path.read_bytes()
    copy = shutil.copytree(folder.path, tmp_path / "another-name")
    with pytest.raises(StabenchError, match=f"run '{written.run}' is recorded already"):
        record.add(copy, path)
    assert path.read_bytes() == before


def test_records_are_appended_and_read_in_order_of_time(folder, tmp_path):
    path = tmp_path / "history.jsonl"
    late = record.record(Results.read(folder.path))
    early = late.model_copy(update={"run": "earlier", "at": late.at.replace(year=2020)})
    history.append(late, path)
    first = path.read_bytes()
    history.append(early, path)
    assert path.read_bytes().startswith(first)
    assert [entry.run for entry in history.read(path)] == ["earlier", late.run]


@pytest.mark.parametrize(
    ("git", "words"),
    [(Git("b" * 40, "main", True), "differs from commit bbbbbbbbbbbb"), (None, "in no commit")],
    ids=["dirty", "untracked"],
)
def test_a_tree_that_is_not_clean_is_refused_unless_asked_for(tmp_path, git, words):
    made = in_tree(FakeRun(tmp_path, n=12, request={"phase": "represent"}).make(), git)
    with pytest.raises(StabenchError, match=words):
        record.record(Results.read(made.path))
    line = record.record(Results.read(made.path), dirty=True)
    assert line.source == history.Source(commit=git and git.commit, dirty=True)


def test_unfinished_and_unscored_runs_are_refused(tmp_path):
    made = in_tree(FakeRun(tmp_path, n=12).make())
    with pytest.raises(StabenchError, match="not scored; run stabench score"):
        record.record(Results.read(made.path))
    with pytest.raises(StabenchError, match="not finished; resume"):
        record.record(Results.read(in_tree(made, finished_at=None).path))


def test_random_weights_have_latency_and_no_quality(tmp_path):
    run = FakeRun(tmp_path, n=12, use={"use": "recorded", "options": {"weights": "random"}})
    made = in_tree(run.make())
    score_run(made.path)
    star = record.record(Results.read(made.path)).systems["star"]
    assert star.quality == {}
    assert set(star.median_ns) == {"represent", "generate"}


def test_scores_of_random_networks_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder.path, tmp_path / "run")
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["provenance"]["embedders"]["fad"]["origin"] = "random (seed 0)"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(StabenchError, match="on random weights: no quality"):
        record.record(Results.read(copy))


def test_scored_folders_are_no_run(folder, tmp_path):
    shutil.copy(folder.metrics_path, tmp_path / "metrics.json")
    with pytest.raises(StabenchError, match="give the run of a suite"):
        record.record(Results.read(tmp_path))


def damaged(line: bytes, kind: str) -> bytes:
    """A history of that line, damaged in one way."""
    value = json.loads(line)
    star = value["systems"]["star"]
    if kind == "torn":
        return line + line[:100]
    if kind == "twice":
        return line + line
    if kind == "stray key":
        value["remark"] = "x"
    if kind == "wrong type":
        star["n"] = "23"
    if kind == "not finite":
        star["quality"]["fad"]["value"] = float("nan")
    if kind == "no zone":
        value["at"] = "2026-11-20T10:00:00"
    return line + json.dumps({**value, "run": "other"}).encode() + b"\n"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("torn", "line 2: not whole"),
        ("twice", "line 2: run '.*' is in line 1 already"),
        ("stray key", "line 2: key .remark.: Extra inputs"),
        ("wrong type", r"line 2: key .systems\.star\.n.: Input should be a valid integer"),
        ("not finite", r"line 2: key .systems\.star\.quality\.fad\.value"),
        ("no zone", "line 2: key .at.: Input should have timezone"),
    ],
)
def test_a_damaged_history_is_refused_with_its_line(folder, tmp_path, kind, words):
    path = tmp_path / "history.jsonl"
    record.add(folder.path, path)
    path.write_bytes(damaged(path.read_bytes(), kind))
    before = path.read_bytes()
    with pytest.raises(StabenchError, match=words):
        history.read(path)
    with pytest.raises(StabenchError):
        record.add(folder.path, path)
    assert path.read_bytes() == before


def test_no_history_is_said_so(tmp_path):
    with pytest.raises(MissingError, match="record a run first"):
        history.read(tmp_path / "history.jsonl")


def test_a_full_disk_keeps_the_history_whole(folder, tmp_path, monkeypatch):
    path = tmp_path / "history.jsonl"
    record.add(folder.path, path)
    before = path.read_bytes()
    late = record.record(Results.read(folder.path)).model_copy(update={"run": "late"})

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        history.append(late, path)
    assert path.read_bytes() == before
