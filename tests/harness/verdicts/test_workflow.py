"""The workflow of GitHub Actions: valid YAML, least rights, and commands that the CLI takes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cli import app

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
    lines = [line for step in _steps() for line in step.get("run", "").splitlines()]
    words = [shlex.split(line) for line in lines if "stabench" in line]
    return [line[1:] for line in words if line[0].endswith("stabench")]


def test_it_runs_for_pull_requests_and_may_only_read() -> None:
    found = _workflow()
    assert found[True] == {"pull_request": None}, "YAML 1.1 reads the key `on` as true"
    assert found["permissions"] == {"contents": "read"}


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
        given = context.params
        assert given["suite"] == "pocket"
        assert (ROOT / given["policy"]).is_file()
        assert str(given["base"]) == "../base"
