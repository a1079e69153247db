"""`stabench gate --init`: a toy repository is guarded by what it wrote, and by nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stabench.harness.cli.main import app
from stabench.harness.compare import read_evidence
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate import policy
from stabench.harness.gate.command import gate_run
from stabench.harness.gate.init import BASELINE, POLICY, WORKFLOW, format_policy, write_gate
from stabench.harness.scoring.score import score_run
from stabench.harness.suites.suite import load
from tests.harness.conftest import ROOT
from tests.harness.fake_run import FakeRun
from tests.harness.gate.toy_repository import CLIPS, Repository, write_repository
from tests.harness.worlds import evidence, mean, system, times

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a line of a shell in a folder, with a `stabench` as a job of CI has it."""
    program = tmp_path / "bin" / "stabench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stabench "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }

    def run(folder: Path, line: str, check: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["bash", "-e", "-c", line], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == check, done.stdout + done.stderr
        return done

    return run


def list_steps(repository: Repository) -> list[dict[str, Any]]:
    """The steps of the workflow that run a shell, but the one that installs."""
    workflow = yaml.safe_load((repository.folder / WORKFLOW).read_text())
    steps = [step for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    assert steps.pop(0)["name"].startswith("Install")
    return steps


def run_workflow(shell: Shell, job: Path, check: int) -> str:
    """Run the workflow of the head in a job's folder; return the summary that GitHub shows."""
    summary = job.parent / "summary.md"
    summary.unlink(missing_ok=True)
    names = []
    for step in list_steps(Repository(job / "head")):
        name = step["name"].split(" ")[0]
        names.append(name)
        folder = job / step.get("working-directory", ".")
        shell(folder, step["run"], check if name == "Run" else 0)
    assert names == ["Measure", "Run", "Show"]
    return summary.read_text()


@pytest.mark.slow
def test_a_repository_is_guarded_by_what_init_wrote(tmp_path: Path, shell: Shell) -> None:
    """From the first run to a pull request that makes it worse, by the workflow's own commands."""
    base = write_repository(tmp_path / "job" / "base")
    # As after `pip install -e .`, on the machine of the one who keeps the baseline.
    shell(base.folder, 'PYTHONPATH="$PYTHONPATH:src" stabench run toy.toml')
    told = shell(base.folder, "stabench gate --init latest").stdout
    assert [line.split(":")[0] for line in told.splitlines()] == [
        f"wrote {BASELINE}",
        f"wrote {POLICY}",
        f"wrote {WORKFLOW}",
        "try it",
    ]
    rules = base.folder / POLICY
    # Times of a few clips of nothing are noise: here they only have to be measured.
    rules.write_text(rules.read_text().replace('"machine"', '"900 %"'))
    command = told.splitlines()[-1].removeprefix("try it: ")
    assert "# Gate" not in shell(base.folder, command).stdout
    head = base.copy("head")
    assert "# Gate: passed" in run_workflow(shell, tmp_path / "job", 0)
    head.hear("a dog barks")
    assert "toy: WER regressed" in run_workflow(shell, tmp_path / "job", 1)
    # A pull request is not judged by a policy that it loosened, nor by its own baseline.
    own = head.folder / POLICY
    own.write_text(own.read_text().replace("wer = 0.01", "wer = 9"))
    (head.folder / BASELINE).write_bytes(b"")
    assert "toy: WER regressed" in run_workflow(shell, tmp_path / "job", 1)
    # The one that brings the gate has no other policy than its own.
    for name in (POLICY, BASELINE):
        (base.folder / name).rename(head.folder / name)
    assert "toy: WER regressed" in run_workflow(shell, tmp_path / "job", 1)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = write_repository(tmp_path / "mine")
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A scored run of a cascade and of a system that writes no words."""
    folder = FakeRun(tmp_path / "fake").make().path
    score_run(folder)
    return folder


def suite_of(folder: Path, run: Path, name: str = "pocket.toml") -> Path:
    """Write the suite of a run as a file of the repository."""
    from stabench.harness.gate.interleaved import write_suite
    from stabench.harness.runs.run_folder import RunFolder

    path = folder / name
    write_suite(path, RunFolder.open(run).suite)
    return path


def test_a_policy_of_a_run_passes_that_run_and_says_what_it_could_not_measure(
    scored: Path, repository: Repository, tmp_path: Path
) -> None:
    suite_of(repository.folder, scored)
    told = list(write_gate(scored, Path(), "pocket.toml"))
    assert "3 systems, fad, fd, kl, clap, recall, wer" in told[1]
    rules = policy.load(repository.folder / POLICY)
    assert rules.systems == ("cascade", "star", "oracle")
    assert {"star/wer", "oracle/wer"} <= {*rules.may_be_unmeasured}
    text = (repository.folder / POLICY).read_text()
    reasons = read_evidence.read(scored).systems["star"].columns["wer"].reason
    assert f'"star/wer",  # {reasons}' in text
    baseline = repository.folder / BASELINE
    out = tmp_path / "out"
    assert gate_run(scored, baseline, repository.folder / POLICY, out=out, strict=True) == 0
    # The same where no policy is given: all that the baseline has.
    assert gate_run(scored, baseline, None, out=out, strict=True) == 0
    assert "not measured (allowed)" in (out / "gate.md").read_text()


def test_without_a_policy_nothing_that_the_baseline_has_may_be_lost(
    scored: Path, tmp_path: Path
) -> None:
    full = read_evidence.read(scored)
    rules = policy.derive(full)
    for name in rules.systems:
        for metric in (*rules.quality.effects, "processing", "generation"):
            measured = f"{name}/{metric}" not in rules.may_be_unmeasured
            column = full.systems[name].columns.get(metric)
            timed = metric in ("processing", "generation")
            assert measured == (timed or (column is not None and column.value is not None))
    baseline = tmp_path / "b.json.gz"
    more = full.systems["star"].model_copy(update={"name": "more"})
    wider = full.model_copy(update={"systems": {**full.systems, "more": more}})
    baseline.write_bytes(wider.to_bytes())
    assert gate_run(scored, baseline, None, out=tmp_path / "out") == 5
    assert "no system 'more' in the run" in (tmp_path / "out" / "gate.md").read_text()


def test_nothing_that_is_there_is_overwritten(scored: Path, repository: Repository) -> None:
    suite_of(repository.folder, scored)
    paths = [repository.folder / name for name in (BASELINE, POLICY, WORKFLOW)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    told = list(write_gate(scored, Path(), "pocket.toml"))
    assert [line.split(" is there")[0] for line in told[:3]] == [BASELINE, POLICY, str(WORKFLOW)]
    assert all("left as it is" in line for line in told[:3])
    assert [path.read_text() for path in paths] == ["mine"] * 3
    paths[1].unlink()
    assert "wrote gate.toml" in list(write_gate(scored, Path(), "pocket.toml"))[1]


def test_a_folder_without_a_run_is_told_how_to_make_the_first_baseline(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the repository itself, and from elsewhere."""
    assert app(["gate", "--init"], standalone_mode=False) == 0
    told = capsys.readouterr().out
    assert (
        f"stabench run toy.toml --system toy, then stabench baseline latest --out {BASELINE}"
        in told
    )
    rules = policy.load(repository.folder / POLICY)
    assert (rules.systems, list(rules.quality.effects)) == (("toy",), ["wer"])
    assert not (repository.folder / BASELINE).exists()
    assert "--baseline" not in (repository.folder / WORKFLOW).read_text()
    other = repository.copy("other")
    for name in (POLICY, WORKFLOW):
        (other.folder / name).unlink()
    assert app(["gate", "--init", str(other.folder)], standalone_mode=False) == 0
    assert (other.folder / WORKFLOW).read_text() == (repository.folder / WORKFLOW).read_text()


def test_a_gate_in_a_folder_of_a_repository_has_its_workflow_at_the_root(
    tmp_path: Path, repository: Repository
) -> None:
    (repository.folder / ".git").mkdir()
    inner = write_repository(repository.folder / "bench" / "sound")
    list(write_gate(inner.folder, Path(), None))
    text = (repository.folder / WORKFLOW).read_text()
    assert "working-directory: head/bench/sound\n" in text
    assert "--base ../../../base " in text
    assert "from=../../../base/bench/sound\n" in text
    assert (inner.folder / POLICY).is_file()
    assert not (inner.folder / WORKFLOW).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": {}, "request": {"set": ("run.repeats=2",)}}, "had --set"),
        ({"request": {"clips": ("clip001",)}}, "had --clip"),
        ({"request": {"speech": "mine"}}, "had --speech"),
    ],
)
def test_a_run_that_no_gate_can_repeat_is_refused(
    scored: Path, repository: Repository, options: dict[str, Any], message: str
) -> None:
    from stabench.harness.runs.run_folder import RunFolder

    folder = RunFolder.open(scored)
    asked = folder.record.request.model_copy(update=options["request"])
    folder.write_record(folder.record.model_copy(update={"request": asked}))
    with pytest.raises(StabenchError, match=message):
        list(write_gate(scored, Path(), None))
    assert not (repository.folder / POLICY).exists()


def test_what_is_no_run_and_no_suite_is_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="'none' is neither a run nor a folder"):
        list(write_gate(Path("none"), Path(), None))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StabenchError, match="which suite is not clear: no suite is here"):
        list(write_gate(empty, Path(), None))
    (repository.folder / "second.toml").write_text((repository.folder / "toy.toml").read_text())
    with pytest.raises(StabenchError, match=r"suites here are second\.toml, toy\.toml; name"):
        list(write_gate(repository.folder, Path(), None))
    assert not (repository.folder / POLICY).exists()
    assert list(write_gate(repository.folder, Path(), "second.toml"))
    for words in (["--strict"], ["--base", "x"], ["--limit", "3"], ["--json"]):
        with pytest.raises(StabenchError, match="gate --init takes RUN or a folder"):
            app(["gate", "--init", *words], standalone_mode=False)


def test_names_of_any_kind_are_read_back(tmp_path: Path) -> None:
    odd = 'a "name"\\ of it'
    stars = [
        system(odd, columns={"kl": mean([0.1] * 3), "m y": mean([1.0] * 3)}),
        system("b", columns={"kl": mean([0.2] * 3)}, samples_ns={"generate": times([0.0] * 3)}),
    ]
    rules = policy.derive(evidence(*stars))
    assert rules.may_be_unmeasured == (f"{odd}/generation", "b/m y")
    assert rules.latency.phases == ("generation",)
    path = tmp_path / "gate.toml"
    reasons = dict.fromkeys(rules.may_be_unmeasured, "two\nlines")
    path.write_text(format_policy(rules, reasons))
    assert policy.load(path, {"m y": None}) == rules


def test_the_workflow_may_only_read_and_runs_no_strangers_text(repository: Repository) -> None:
    list(write_gate(repository.folder, Path(), None))
    workflow = yaml.safe_load((repository.folder / WORKFLOW).read_text())
    assert workflow[True] == {"pull_request": None}, "YAML 1.1 reads the key `on` as true"
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["gate"]["steps"]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []
    assert {step["uses"].split("@")[0] for step in steps if "uses" in step} == {
        *("actions/checkout", "actions/setup-python", "actions/upload-artifact")
    }
    assert load("toy.toml").name == "toy"
    assert CLIPS == 12, "as many as the noise of a machine needs"
