"""The workflow of GitHub Actions: valid YAML, least rights, and commands that the CLI takes."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from stabench.harness.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "gate.yml"
COMMAND = typer.main.get_command(app)
PINNED = re.compile(r"^actions/[a-z-]+@v\d+$")


def _workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))


def _steps() -> list[dict[str, Any]]:
    return _workflow()["jobs"]["gate"]["steps"]


def _stabench() -> list[list[str]]:
    """The words after `stabench` of each line that runs it."""
    runs = [step.get("run", "").replace("\\\n", " ") for step in _steps()]
    lines = [line for run in runs for line in run.splitlines()]
    words = [shlex.split(line) for line in lines if "stabench" in line]
    return [line[1:] for line in words if line[0].endswith("stabench")]


def test_it_runs_for_pull_requests_and_may_only_read() -> None:
    workflow = _workflow()
    assert workflow[True] == {"pull_request": None}, "YAML 1.1 reads the key `on` as true"
    assert workflow["permissions"] == {"contents": "read"}


def test_steps_use_official_actions_by_major_version() -> None:
    used = [step["uses"] for step in _steps() if "uses" in step]
    assert len(used) >= 4
    assert [name for name in used if not PINNED.match(name)] == []
    assert all(("uses" in step) != ("run" in step) for step in _steps())


def test_untrusted_texts_are_in_no_shell_line() -> None:
    """Titles and branch names of a pull request can hold shell code."""
    assert [step["run"] for step in _steps() if "${{" in step.get("run", "")] == []


def test_the_answer_is_shown_and_kept_whatever_it_is() -> None:
    last = _steps()[-2:]
    assert all(step["if"] == "always()" for step in last)
    assert "gate/gate.md" in last[0]["run"]
    assert "GITHUB_STEP_SUMMARY" in last[0]["run"]
    assert last[1]["with"]["path"] == "gate/"


def test_both_sides_are_checked_out_and_installed() -> None:
    paths = {step["with"]["path"] for step in _steps() if "checkout" in step.get("uses", "")}
    assert paths == {"base", "head"}
    installs = next(step["run"] for step in _steps() if "make" in step.get("run", ""))
    assert installs.split("\n")[:2] == ["make -C base install", "make -C head install"]


def test_there_is_a_gate_in_it() -> None:
    assert [words[0] for words in _stabench()] == ["doctor", "gate"]


@pytest.mark.parametrize("words", _stabench(), ids=lambda words: words[0])
def test_the_command_line_takes_its_commands(words: list[str]) -> None:
    name, *options = words
    command = COMMAND.commands.get(name)
    if command is None or (name == "doctor" and not any(p.name == "noise" for p in command.params)):
        pytest.skip(f"stabench {name} is not wired yet")
    context = command.make_context(name, options, resilient_parsing=False)
    if name == "gate":
        params = context.params
        assert params["suite"] == "pocket"
        assert str(params["policy"]) == "$policy"
        assert str(params["base"]) == "../base"


def _asked_policy(place: Path) -> str:
    """The step of the gate, run by GitHub's shell with a stabench that says what it was asked."""
    stabench = place / "head" / ".venv" / "bin" / "stabench"
    stabench.parent.mkdir(parents=True)
    stabench.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stabench.chmod(0o755)
    step = next(step for step in _steps() if "stabench gate" in step.get("run", ""))
    words = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=place / step["working-directory"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return words[words.index("--policy") + 1]


def test_the_policy_is_the_one_of_the_base_which_a_pull_request_cannot_loosen(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "base" / "results" / "baselines"
    kept.mkdir(parents=True)
    (kept / "gate.toml").write_text("")
    assert (tmp_path / "head" / _asked_policy(tmp_path)).resolve() == kept / "gate.toml"


def test_the_first_pull_request_brings_its_policy(tmp_path: Path) -> None:
    path = _asked_policy(tmp_path)
    assert (ROOT / path).is_file()
    assert (tmp_path / "head" / path).resolve().is_relative_to(tmp_path / "head")
