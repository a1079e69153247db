"""What is printed of the test whether a system's output depends on its input."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from stabench.harness.formatting import figure
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Page
from stabench.harness.render.terminal import print_page
from stabench.harness.report.latex import latex
from stabench.harness.report.report import page_of
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from tests.harness.fake_run import FakeRun

TWO = (("cascade", "cascade", "Whisper + tones"), ("star", "end-to-end", "STAR"))


def page(run: Path) -> Page:
    results = Results.read(run)
    return page_of(results, tabulate(results))


def printed(page: Page, width: int) -> str:
    stream = io.StringIO()
    print_page(page, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run in which star makes events at random."""
    made = FakeRun(tmp_path_factory.mktemp("deaf"), deaf=("star",)).make()
    score_run(made.path)
    return made.path


def test_a_system_whose_output_ignores_its_input_is_marked_and_named(deaf):
    sentence = "‡ STAR: nothing shows that its output depends on its input (KL to its own recording"
    text, shown = to_markdown(page(deaf)), " ".join(printed(page(deaf), 80).split())
    assert "| STAR ‡<br>" in text
    assert sentence in text.replace("\\", "")
    assert sentence in shown
    assert text.count("that its output depends on its input") == 1
    tex = latex(Results.read(deaf), tabulate(Results.read(deaf)))
    assert r"\quad STAR$^{\ddagger}$ &" in tex
    assert r"$^{\ddagger}$ STAR: nothing shows" in tex


def test_dependence_on_the_input_is_shown_for_every_system(deaf):
    heading = "## Does the output depend on the input?"
    table = to_markdown(page(deaf)).split(heading)[1].split("##")[0].splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in table if "|" in line}
    tests = Results.read(deaf).metrics.systems["star"].input_dependence
    expected = ["24"]
    for column, digits in (("kl", 2), ("clap", 3)):
        one = tests[column]
        expected += [figure(one.own, digits), figure(one.others, digits), figure(one.p_value, 3)]
    assert [cell.strip() for cell in rows["STAR"]] == expected
    assert len(rows) == 2 + 3


def test_what_was_not_tested_is_said_once_with_its_reason(tmp_path):
    made = FakeRun(tmp_path, n=4, systems=TWO, metrics={"columns": ["kl", "clap"]}).make()
    score_run(made.path)
    section = page(made.path).section("dependence")
    assert section.points == (
        "KL to its own recording not tested, needs at least 10 recordings, has 4: "
        "Whisper + tones, STAR",
        "CLAP with its own caption not tested, needs at least 10 recordings, has 4: "
        "Whisper + tones, STAR",
    )
    cells = [cell.main for cell in section.grid.lines[0].cells]
    assert cells == ["Whisper + tones", "4", *["\N{EN DASH}"] * 6]
