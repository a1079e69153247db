"""The examples in Python: the adapter, the metric, the scoring of folders, the notebook."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stabench.harness.scoring.score import score_run
from tests.examples.run_example import EXAMPLES
from tests.harness.conftest import ROOT
from tests.harness.fake_run import FakeRun


def _commands(path: Path) -> list[list[str]]:
    """Return the commands in the docstring of an example, as a shell reads them."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return [shlex.split(line) for line in re.findall(r"^ +(stabench .*)$", text, re.MULTILINE)]


def _run(command: list[str], out: Path) -> str:
    words = [sys.executable, "-m", *command]
    words += ["--out", str(out)] if command[1] == "run" else []
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapter/my_system.py", "metric/my_metric.py"])
def test_an_example_runs_as_its_docstring_says(name: str, tmp_path: Path) -> None:
    commands = _commands(EXAMPLES / name)
    assert [command[1] for command in commands] == ["check", "run"]
    assert "nothing wrong" in _run(commands[0], tmp_path)
    table = _run(commands[1], tmp_path)
    assert ("MySystem" if "system" in name else "class") in table


@pytest.mark.slow
def test_folders_are_scored_by_the_example(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, n=24).make()
    score_run(run.path)
    captions = "".join(f'{clip.id},"{clip.caption}"\n' for clip in run.clips)
    (tmp_path / "captions.csv").write_text(f"id,caption\n{captions}")
    command = [
        *(sys.executable, str(EXAMPLES / "score_folders.py")),
        *(str(tmp_path / "reference"), str(tmp_path / "captions.csv")),
        f"star={run.path / 'audio' / 'star'}",
        *("--protocol", "pocket"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "CLAP" in done.stdout
    [cells] = tmp_path.glob("results/runs/*/cells.csv")
    assert "star," in cells.read_text()


@pytest.mark.slow
def test_the_notebook_executes_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "first_look.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    script = "\n".join(map(_show_last, cells))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("shown") == len(cells)


def _show_last(cell: str) -> str:
    """Return a cell whose last expression is turned into what a notebook displays."""
    *lines, last = ast.parse(cell).body
    assert isinstance(last, ast.Expr)
    head = "\n".join(map(ast.unparse, lines))
    return f"{head}\n_value = {ast.unparse(last)}\nprint('shown', len(_value._repr_html_()) > 0)"
