"""Narrow windows and pipes: every table of every command keeps its numbers whole."""

import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from stabench.harness.cli import doctor
from stabench.harness.cli import list as listing
from stabench.harness.cli.main import app
from stabench.harness.compare import read_evidence
from stabench.harness.compare.evidence import Hardware
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.render.terminal import print_page
from stabench.harness.report.report import report
from stabench.harness.scoring.score import score_run
from tests.harness.conftest import ROOT
from tests.harness.fake_run import FakeRun
from tests.harness.submission.toy_board import Toy

WIDTHS = (40, 80, 100, 132)
WIDE = 2000
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def count_numbers(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


@pytest.fixture(scope="module")
def runs(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with two scored runs, old and new, a baseline of another machine, benchmarks."""

    def make(folder: Path) -> None:
        for name, noise in (("old", 0.05), ("new", 0.5)):
            run = FakeRun(folder / name, n=24, noise={"star": noise}).make()
            score_run(run.path)
            report(run.path, io.StringIO())
        there = Hardware(device="cpu", cpu_model="A processor of 1 name", gpu=None, threads=64)
        old = read_evidence.read(folder / "old" / "runs" / "latest")
        other = old.model_copy(update={"hardware": there})
        (folder / "other.json.gz").write_bytes(other.to_bytes())
        rng = np.random.default_rng(0)
        for name, slower in (("a", 1.0), ("b", 1.12)):
            entries = [
                {
                    "fullname": f"tests/bench/test_speed.py::test_a_long_name[{size}]",
                    "stats": {"median": 1.0, "rounds": 40, "data": list(data)},
                }
                for size in (12, 0.997, 1_000_000)
                for data in [size * 1e-3 * slower * rng.lognormal(0, 0.01, 40)]
            ]
            file = {"machine_info": {"cpu": {"brand_raw": "Some CPU"}}, "benchmarks": entries}
            (folder / f"{name}.json").write_text(json.dumps(file))

    return once("narrow", make)


COMMANDS = {
    "report": ["report", "{old}"],
    "reproduce": ["reproduce", "{new}", "--out", "out"],
    "compare": ["compare", "{old}", "{new}"],
    "compare across hardware": ["compare", "other.json.gz", "{new}", "--across-hardware"],
    "compare benchmarks": ["compare", "a.json", "b.json"],
    "gate": ["gate", "{new}", "--baseline", "{old}", "--out", "out", "--policy", "gate.toml"],
    "gate on other hardware": [
        *("gate", "{new}", "--baseline", "other.json.gz", "--out", "out", "--policy", "gate.toml")
    ],
    "list": ["list"],
    "weights": ["weights", "status"],
    "history": ["history", "kl"],
    "doctor": ["doctor"],
}


@pytest.fixture
def page_of(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str], int], str]:
    """What a command prints into a pipe that is so wide."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs, tmp_path, symlinks=True, dirs_exist_ok=True)
    (tmp_path / "results").mkdir()
    shutil.copy(ROOT / "results" / "history.jsonl", tmp_path / "results")
    (tmp_path / "gate.toml").write_text(
        '[quality.effects]\nfad = "3 %"\nkl = 0.01\nwer = 0.01\n[latency]\nthreshold = "5 %"\n'
    )
    # The load of the machine differs from one call to the next.
    findings = doctor.examine(tmp_path)
    monkeypatch.setattr(doctor, "examine", lambda *_: findings)

    def print_at(words: list[str], width: int) -> str:
        places = {name: f"{name}/runs/latest" for name in ("old", "new")}
        monkeypatch.setenv("COLUMNS", str(width))
        app([word.format(**places) for word in words], standalone_mode=False)
        return capsys.readouterr().out

    return print_at


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_of_a_page_is_whole_at_each_width(
    page_of: Callable[[list[str], int], str], name: str
) -> None:
    wide = count_numbers(page_of(COMMANDS[name], WIDE))
    assert sum(wide.values()) > 5, "a page without numbers would prove nothing"
    for width in WIDTHS:
        assert wide - count_numbers(page_of(COMMANDS[name], width)) == Counter(), width


def test_every_number_of_a_runs_compact_table_is_whole(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {}
    for width in (*WIDTHS, WIDE):
        monkeypatch.setenv("COLUMNS", str(width))
        stream = io.StringIO()
        report(runs / "new" / "runs" / "latest", stream, brief=True, sound_mb=None)
        texts[width] = count_numbers(stream.getvalue())
    assert all(texts[WIDE] - texts[width] == Counter() for width in WIDTHS)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_of_a_checked_submission_is_whole(
    submitted: Toy,
    width: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(width))
    words = ["check-submission", str(submitted.submit()), "--suite", str(submitted.suite)]
    app([*words, "--no-rescore"], standalone_mode=False)
    findings = submitted.check(rescore=False)
    assert count_numbers("\n".join(map(str, findings))) <= count_numbers(capsys.readouterr().out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_on_a_terminal_fits_and_keeps_its_numbers(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    stream, entries = Terminal(), listing.listing(None)
    listing.show(entries, stream)
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert max(map(cell_len, text.splitlines())) <= width
    told = "\n".join(" ".join(entry) for entries in entries.values() for entry in entries)
    assert count_numbers(told) <= count_numbers(text)


MINUS = "\N{MINUS SIGN}"
CELLS = (
    "0.997 ms",
    "12",
    f"{MINUS}0.0013 [{MINUS}0.0036, 0.0021]",
    "123,456,789.25",
    "< 0.001",
    "+1.5e-07",
)
NAMES = ("star", "a-name-of-forty-one-characters-with-12345", "clip0012345678901234567890", "3.14")


@pytest.mark.parametrize("reason", ["", "hardware was 12 threads and is 64 threads " * 4])
@pytest.mark.parametrize("keys", [1, 2, 4])
@pytest.mark.parametrize("columns", [1, 3, 9])
@pytest.mark.parametrize("width", [30, 50, 60, *WIDTHS])
def test_no_grid_crops_drops_or_breaks_a_number(
    width: int, columns: int, keys: int, reason: str
) -> None:
    """Whatever its shape; a name is folded, also a long one, but not within its number."""
    rng = np.random.default_rng([width, columns, keys])
    heads: list[Any] = [Head(f"Key {index}") for index in range(keys)]
    heads += [Head(f"column {index} [95 %]", "numbers") for index in range(columns)]
    lines = []
    for _ in range(4):
        names = [Printed(str(rng.choice(NAMES))) for _ in range(keys - 1)]
        numbers = [Printed(str(rng.choice(CELLS)), "[0.25, 12.5]") for _ in range(columns)]
        lines.append(Line((*names, Printed("same 7", reason), *numbers)))
    grid = Grid(tuple(heads), (*lines, Line(heading="Stages of 2024"), lines[0]))
    stream = io.StringIO()
    page = Page("Gate of 2 runs", "lead", (Section("t", "Table 1", grid=grid),))
    print_page(page, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert max(map(cell_len, text.splitlines())) <= width
    cells = [cell for line in grid.lines for cell in line.cells]
    told = count_numbers("\n".join(f"{cell.main}\n{cell.under}" for cell in cells))
    assert told - count_numbers(text) == Counter()
