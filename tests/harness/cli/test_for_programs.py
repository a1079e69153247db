"""What other programs read: --json, --version, completion; and an example in every help text."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import stabench
from stabench.harness import registry
from stabench.harness.cli import main
from stabench.harness.cli.compare_commands import PACKAGED
from stabench.harness.gate import policy
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

Command = Callable[..., Any]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """`command(*words)`: the exit code and standard output of a command."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["stabench", *map(str, words)])
        code = main.main()
        return code, capsys.readouterr().out

    return call


def test_the_version_is_printed(command: Command) -> None:
    assert command("--version") == (0, f"stabench {stabench.__version__}\n")


def test_lists_weights_and_findings_are_json(command: Command) -> None:
    code, out = command("list", "--json")
    assert code == 0
    lists = json.loads(out)
    assert [entry["name"] for entry in lists["suites"]] == list(registry.entries("suites"))
    assert set(json.loads(command("list", "systems", "--json")[1])) == {"systems"}
    rows = json.loads(command("weights", "status", "--json")[1])
    assert {"name", "licence", "size", "state", "where"} == set(rows[0])
    findings = json.loads(command("doctor", "--json")[1])
    assert {"ok", "what", "text"} <= set(findings[0])
    assert command("doctor", "--json", "--noise")[0] == 2


@pytest.mark.parametrize("name", ["compare", "gate"])
def test_a_verdict_is_the_json_that_is_also_written(
    command: Command, name: str, tmp_path: Path
) -> None:
    old, new = (FakeRun(tmp_path / side).make().path for side in ("old", "new"))
    for run in (old, new):
        score_run(run)
    out = tmp_path / "out"
    if name == "compare":
        words: list[object] = ["compare", old, new]
    else:
        (tmp_path / "gate.toml").write_text("[quality.effects]\nkl = 0.1\n")
        baseline = tmp_path / "base.json.gz"
        assert command("baseline", old, "--out", baseline)[0] == 0
        words = ["gate", new, "--baseline", baseline, "--policy", tmp_path / "gate.toml"]
    code, printed = command(*words, "--out", out, "--json")
    assert code == 0
    assert json.loads(printed) == json.loads((out / f"{name}.json").read_text())


def test_the_policy_and_the_baseline_of_the_pocket_come_with_stabench(
    command: Command, tmp_path: Path
) -> None:
    assert policy.load(PACKAGED / "gate.toml").systems == ("cascade", "star")
    run = FakeRun(tmp_path).make().path
    score_run(run)
    # A checkout has a folder of this name, which holds no results.
    (tmp_path / "pocket").mkdir()
    # Ours is found by its name, and refused for its other provenance: it was read.
    code, _ = command("gate", run, "--baseline", "pocket")
    assert code == 2
    assert command("gate", run, "--baseline", "pockets")[0] == 3


def test_published_figures_are_written_elsewhere_if_asked(command: Command, tmp_path: Path) -> None:
    run = FakeRun(tmp_path).make().path
    assert command("reproduce", run, "--out", tmp_path / "there")[0] == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "reproduce.json",
        "reproduce.md",
    ]
    assert not (run / "reproduce.md").exists()


def _commands(group: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    inner = getattr(group, "commands", None)
    if inner is None:
        return {words: group}
    return {
        path: each
        for name, part in inner.items()
        for path, each in _commands(part, (*words, name)).items()
    }


COMMANDS = _commands(typer.main.get_command(main.app))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_whose_options_exist(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    [example] = re.findall(r"^\s*Example: (.+)$", command.help, re.MULTILINE)
    assert example.startswith(" ".join(("stabench", *words)))
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in example.split() if word.startswith("--")} <= known


def test_a_shell_completes_suites() -> None:
    environment = {
        **os.environ,
        "_STABENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "stabench run pock",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv = ['stabench']; from stabench.harness.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert {"pocket", "pocket-table1"} <= set(done.stdout.split())
    assert "demo" not in done.stdout.split()
