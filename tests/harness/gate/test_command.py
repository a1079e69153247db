"""`stabench gate` on folders and files: what is read, counted, refused and written."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stabench.harness.compare import read_evidence as reading
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate import command as gate_run_module
from stabench.harness.gate.command import gate_command, gate_run, write_baseline
from stabench.harness.gate.gate import Counts
from stabench.harness.runs import journal
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import Request, RunFolder
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun
from tests.harness.worlds import evidence, mean, system

ROOT = Path(__file__).resolve().parents[3]
Judge = Callable[..., int]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Gates a run folder against a baseline file, under a policy of the latencies and failures."""
    rules = tmp_path / "gate.toml"
    rules.write_text('[latency]\nthreshold = "5 %"\n')

    def call(folder: RunFolder, baseline: Path | None, strict: bool = False) -> int:
        stream = io.StringIO()
        return gate_run(folder.path, baseline, rules, strict=strict, stream=stream)

    return call


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    made = FakeRun(tmp_path / "base").make()
    path = tmp_path / "pocket.json.gz"
    path.write_bytes(reading.read(made.path).to_bytes())
    return path


def test_an_empty_run_is_not_measured(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    folder.journal_path.write_text("")
    assert judge(folder, baseline) == 5
    assert judge(folder, baseline, strict=True) == 5
    assert (folder.path / "gate.md").read_text().startswith("# Gate: not measured")
    assert json.loads((folder.path / "gate.json").read_bytes())["exit_code"] == 5


def test_a_run_equal_to_its_baseline_passes(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    assert judge(folder, baseline, strict=True) == 0
    assert (folder.path / "gate.md").read_text().startswith("# Gate: passed")
    assert (folder.path / "junit.xml").read_bytes().count(b"<failure") == 0


def test_a_planted_slow_stage_in_a_journal(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new").make()
    rows = [journal.to_json(row) for row in folder.rows()]
    for row in rows:
        for span in row["spans"]:
            if span["name"] == "sampler" and row["system"] == "star":
                row["phase_ns"]["generate"] += (more := span["wall_ns"] * 15 // 100)
                span["wall_ns"] += more
    folder.journal_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert judge(folder, baseline) == 1
    points = (folder.path / "gate.md").read_text().split("## Checks")[0]
    assert "- star: Generation regressed" in points
    assert "stages: generate/sampler +15.0 %" in points
    assert "decoder" not in points
    assert b"generate/sampler" in (folder.path / "junit.xml").read_bytes()


def test_failed_clips_beyond_the_policy(tmp_path: Path, judge: Judge, baseline: Path) -> None:
    folder = FakeRun(tmp_path / "new", failed={"star": ["clip001"]}).make()
    assert judge(folder, baseline) == 4
    assert "1 of 24 clips failed" in (folder.path / "gate.md").read_text()


def test_no_baseline(tmp_path: Path, judge: Judge) -> None:
    folder = FakeRun(tmp_path / "new").make()
    for missing in (None, tmp_path / "none.json.gz"):
        with pytest.raises(MissingError) as caught:
            judge(folder, missing)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("options", [{}, {"suite": "pocket"}, {"base": ROOT}])
def test_neither_a_run_nor_what_to_run(options: dict) -> None:
    with pytest.raises(StabenchError, match="gate takes RUN"):
        gate_command(None, ROOT / "results" / "baselines" / "gate.toml", **options)


def test_a_baseline_needs_all_clips_and_metrics(tmp_path: Path) -> None:
    failed = FakeRun(tmp_path / "a", failed={"star": ["clip001"]}).make()
    with pytest.raises(StabenchError, match="1 of 24 clips failed"):
        write_baseline(failed.path, tmp_path / "b.gz")
    unscored = FakeRun(tmp_path / "c").make()
    with pytest.raises(StabenchError, match="has no metrics"):
        write_baseline(unscored.path, tmp_path / "b.gz")
    assert not (tmp_path / "b.gz").exists()


def test_the_gate_loads_nothing_heavy() -> None:
    script = (
        "import sys, stabench.harness.gate.command, stabench.harness.compare.pytest_benchmark, "
        "stabench.harness.gate.measure_noise; print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_a_clip_whose_sound_could_not_be_heard_has_failed(
    tmp_path: Path, judge: Judge, baseline: Path
) -> None:
    """The journal says ok, and the score that there is no sound."""
    folder = FakeRun(tmp_path / "new").make()
    folder.audio_path("star", "clip001").write_bytes(b"RIFF")
    score_run(folder.path)
    assert judge(folder, baseline) == 4
    assert "star: Failed clips regressed; 1 of 24 clips failed" in (
        (folder.path / "gate.md").read_text()
    )
    with pytest.raises(StabenchError, match="'star': 1 of 24 clips failed, 0 were not run"):
        write_baseline(folder.path, tmp_path / "b.gz")


def test_clips_are_counted_whatever_their_repeats(tmp_path: Path, judge: Judge) -> None:
    """Three measurements of 24 clips; of one clip the last is lacking, another failed."""
    folder = FakeRun(tmp_path / "a", protocol={"repeats": 3}).make()
    rows = [journal.to_json(row) for row in folder.rows()]
    more = [{**row, "repeat": index} for index in range(3) for row in rows]
    star = [row for row in more if row["system"] == "star"]
    lacking, broken = star[-1]["clip"], star[0]["clip"]
    kept = [row for row in more if row is not star[-1]]
    star[0] |= {"status": "failed", "error": {"kind": "timeout", "message": "late"}}
    folder.journal_path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    evidence = reading.read(folder.path)
    assert {lacking, broken} >= set(evidence.systems["star"].failed_clips)
    base = tmp_path / "b.gz"
    base.write_bytes(evidence.to_bytes())
    assert judge(folder, base) == 4
    report = (folder.path / "gate.md").read_text()
    assert "1 of 24 clips failed, allowed 0, 1 not run" in report
    assert "0 of 24 clips failed" in report


def test_failures_of_scored_folders_count(tmp_path: Path, judge: Judge) -> None:
    made = FakeRun(tmp_path / "new").make()
    made.audio_path("star", "clip001").write_bytes(b"RIFF")
    score_run(made.path)
    evidence = reading.read(made.path)
    scores = Results(made.path, None, Results.read(made.path).metrics)
    assert gate_run_module._count_clips(scores, evidence)["star"] == Counts(1, 0, 24)


def test_a_baseline_that_would_not_guard_what_its_run_shows(tmp_path: Path) -> None:
    folder = FakeRun(tmp_path / "a").make()
    score_run(folder.path)
    (folder.path / "influence.parquet").unlink()
    with pytest.raises(StabenchError, match=r"'cascade', fad: .*stabench score RUN"):
        write_baseline(folder.path, tmp_path / "b.gz")
    assert not (tmp_path / "b.gz").exists()


@pytest.mark.parametrize(
    "options", [{"base_python": ROOT}, {"request": Request(limit=3)}, {"suite": "pocket"}]
)
def test_what_a_run_that_is_there_cannot_be_asked(tmp_path: Path, options: dict) -> None:
    with pytest.raises(StabenchError, match="only then --base-python, --system, --limit"):
        gate_command(tmp_path, ROOT / "results" / "baselines" / "gate.toml", **options)


def test_a_baseline_that_is_not_there_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_run_module, "run_interleaved", lambda *_: pytest.fail("it ran"))
    rules = ROOT / "results" / "baselines" / "gate.toml"
    with pytest.raises(MissingError, match=r"none\.json\.gz"):
        gate_command(None, rules, suite="pocket", base=ROOT, baseline=tmp_path / "none.json.gz")


def test_a_policy_that_guards_nothing(tmp_path: Path) -> None:
    folder = FakeRun(tmp_path / "a").make()
    (rules := tmp_path / "gate.toml").write_text("systems = []\n[latency]\nphases = []\n")
    base = tmp_path / "b.gz"
    base.write_bytes(evidence(system("other")).model_copy(update=_place(folder)).to_bytes())
    output = io.StringIO()
    assert gate_run(folder.path, base, rules, strict=True, stream=output) == 5
    assert "guards nothing" in output.getvalue()


def _place(folder: RunFolder) -> dict:
    """What makes evidence comparable with a run."""
    evidence = reading.read(folder.path)
    return {name: getattr(evidence, name) for name in ("dataset", "dataset_version", "settings")}


SIDES = (("star+base", "end-to-end", "STAR"), ("star+head", "end-to-end", "STAR"))


@pytest.mark.parametrize(("broken", "code"), [("star+base", 0), ("star+head", 4)])
def test_of_a_run_by_turns_the_failures_of_the_head_count(
    tmp_path: Path, judge: Judge, broken: str, code: int
) -> None:
    folder = FakeRun(tmp_path / "a", systems=SIDES, failed={broken: ["clip001"]}).make()
    slow = [journal.to_json(row) for row in folder.rows()]
    for row in slow:
        row["phase_ns"] = dict.fromkeys(row["phase_ns"], 10**8)
    folder.journal_path.write_text("".join(json.dumps(row) + "\n" for row in slow))
    assert judge(folder, None) == code


def test_quality_of_a_run_by_turns_is_judged_by_the_baseline(
    tmp_path: Path, baseline: Path
) -> None:
    """The base of this run was not scored; the baseline was, and the times are the base's."""
    folder = FakeRun(tmp_path / "a", systems=SIDES).make()
    stored = reading.read(baseline)
    star = stored.systems["star"].model_copy(update={"columns": {"kl": mean(np.ones(3))}})
    heads = evidence(star).heads
    kept = stored.model_copy(update={"systems": {"star": star}, "heads": heads})
    baseline.write_bytes(kept.to_bytes())
    (rules := tmp_path / "gate.toml").write_text("[quality.effects]\nkl = 0.1\n")
    out = tmp_path / "out"
    gate_run(folder.path, baseline, rules, out=out, stream=io.StringIO())
    report = (out / "gate.md").read_text()
    assert "not a column of the new run" in report
    assert "base (quality)" not in report
    assert f"{folder.path.name}+base (times)" in report
