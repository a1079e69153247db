"""What is printed: one table in four formats, none of which can be broken by a name."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from stabench.harness.formatting import counted, decimals, figure, interval, plain
from stabench.harness.render.escape import escape_markdown
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.render.terminal import arrange, print_page
from stabench.harness.report import sections
from stabench.harness.report.ranking import Mark, marks
from stabench.harness.report.report import page_of, report, to_csv
from stabench.harness.report.table import Row, Table, tabulate, value_text
from stabench.harness.runs.results import Results
from stabench.harness.scoring.score import score_run
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.speech_to_audio import TASK
from stabench.harness.tasks.task import Column
from tests.harness.fake_run import LISTENERS, FakeRun

EVIL = '=1+1|<b>*x*</b>\x1b[31m\nred\u202e "q",'
SYSTEMS = (
    ("cascade", "cascade", EVIL),
    ("star", "end-to-end", "STAR"),
    ("oracle", "oracle", "The very long name of a system that is folded"),
)

TWO = (("cascade", "cascade", "Whisper + tones"), ("star", "end-to-end", "STAR"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run with hostile names, a failure and sanity rows; its reports are written."""
    root = tmp_path_factory.mktemp("run")
    sanity = {"sanity": ["other-half", "noise", "shuffled"]}
    made = FakeRun(root, systems=SYSTEMS, failed={"star": ["clip005"]}, metrics=sanity).make()
    score_run(made.path)
    with open(os.devnull, "w") as nowhere:
        report(made.path, nowhere)
    return made.path


def printed(page: Page, width: int, **console: Any) -> str:
    stream = io.StringIO()
    print_page(page, Console(file=stream, width=width, highlight=False, **console))
    return stream.getvalue()


def page(run: Path) -> Page:
    results = Results.read(run)
    return page_of(results, tabulate(results))


def test_figures_round_once_and_have_no_negative_zero():
    assert figure(2.345, 2) in ("2.35", "2.34")
    assert figure(-0.0004, 3) == "0.000"
    assert figure(-0.4, 1) == "\N{MINUS SIGN}0.4"
    assert interval(1.0, 2.0, 1) == "[1.0, 2.0]"
    assert interval(None, 2.0, 1) == ""
    assert [decimals([x]) for x in (1234.0, 265.83, 35.9, 2.76, 0.0123, 1e-9)] == [0, 0, 1, 2, 4, 4]
    assert (counted(1, "clip"), counted(0, "clip")) == ("1 clip", "0 clips")


def test_plain_text_has_no_escape_no_line_break_no_reordering():
    assert plain("a\x1b[2J\r\n\tb\u202ec\x9bd\u200b") == "a[2J   bcd"


def test_markdown_tables_are_whole_and_names_are_only_text(run):
    text = (run / "report.md").read_text()
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 5
    for block in tables:
        bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
        assert len(bars) == 1
    assert "<b>" not in text
    assert "\x1b" not in text
    assert r"\<b\>\*x\*\</b\>" in text


def test_markdown_shows_value_and_interval_groups_and_what_listeners_must_say(run):
    text = (run / "report.md").read_text()
    star = next(line for line in text.splitlines() if line.startswith("| STAR<br>"))
    cell = next(row for row in tabulate(Results.read(run)).rows if row.system == "star").cells["fd"]
    ends = rf"\[{figure(cell.low, 2)}, {figure(cell.high, 2)}\]"
    assert f"{figure(cell.value, 2)}<br><sub>{ends}</sub>" in star
    assert "| 23/24 |" in star
    assert star.count("not measured") == 2
    places = [text.index(f"**{name}**") for name in ("Cascade", "End to end", "Oracle")]
    assert sorted(places) == places


def test_csv_is_read_back_with_every_digit_and_runs_nothing(run):
    lines = list(csv.DictReader(io.StringIO((run / "report.csv").read_text())))
    rows = tabulate(Results.read(run)).rows
    assert [line["system"] for line in lines] == [row.system for row in rows]
    assert lines[0]["label"].startswith("'=1+1")
    for line, row in zip(lines, rows, strict=True):
        for key in ("fad", "kl", "clap"):
            value = row.cells[key].value
            assert line[key] == ("" if value is None else repr(value))
            ends = [row.cells[key].low, row.cells[key].high]
            assert [line[f"{key}_low"], line[f"{key}_high"]] == [
                "" if end is None else repr(end) for end in ends
            ]
    assert float(lines[0]["processing_ms_sd"]) == rows[0].cells["processing"].sd
    assert lines[0]["ovl"] == "not measured"


@pytest.mark.parametrize("name", ["=x", "+1", "-1", "@f", "  =x"])
def test_csv_text_that_looks_like_a_formula_is_quoted(run, name):
    found = tabulate(Results.read(run))
    row = found.rows[0]._replace(label=name)
    line = to_csv(found._replace(rows=[row])).splitlines()[1]
    assert line.split(",")[1].startswith("'")


KAD = Column("kad", "KAD", "", "lower", 2, "quality")


@pytest.mark.parametrize(
    ("p", "said"), [(0.001, "p < 0.002"), (0.002, "p 0.002"), (0.5, "p 0.500")]
)
def test_a_permutation_s_p_stands_under_its_value(p, said):
    cell = Estimate(1.0, 0.5, 1.5, p_value=p)
    assert sections._print_cell(cell, KAD, Mark()).under == f"[0.50, 1.50] {said}"


def test_names_of_columns_run_nothing_in_a_csv(run):
    found = tabulate(Results.read(run))
    column = found.columns[-1]._replace(key="=cmd")
    row = found.rows[0]._replace(cells={"=cmd": found.rows[0].cells["wer"]})
    head = to_csv(found._replace(columns=(column,), rows=[row])).splitlines()[0]
    assert head.split(",")[5:] == ["'=cmd", "'=cmd_low", "'=cmd_high"]


def test_markdown_prints_an_entity_as_it_is():
    assert "\\&copy; \\[x\\]" in to_markdown(Page("&copy; [x]", "", ()))


def test_json_holds_rows_differences_and_provenance(run):
    found = json.loads((run / "report.json").read_text())
    row = next(row for row in found["rows"] if row["system"] == "star")
    assert row.keys() == {
        "system",
        "label",
        "paradigm",
        "n",
        "failed",
        "cells",
        "caveat",
        "trained_on",
    }
    assert {"value", "low", "high", "unit", "better"} <= row["cells"]["fad"].keys()
    assert row["cells"]["rel"] | {"value": None, "reason": "not measured"} == row["cells"]["rel"]
    assert row["cells"]["processing"]["unit"] == "ms"
    assert [row["system"] for row in found["rows"]] == ["cascade", "star", "oracle"]
    assert [row["system"] for row in found["sanity"]] == ["other-half", "noise", "shuffled"]
    assert found["provenance"]["embedders"]["fad"]["sha256"] == "ab" * 32
    assert found["provenance"]["bootstrap"] == 100
    assert found["environment"]["cpu_usable"] >= 1
    assert {line["column"] for line in found["paired"]} == {"fad", "fd", "kl", "clap", "recall"}
    assert found["dataset"]["n"] == 24
    assert "clips" not in found["dataset"]


def test_scores_by_networks_on_random_weights_have_no_marks(tmp_path):
    networks = {"fad": f"{LISTENERS}:UntrainedFrames", "tagger": f"{LISTENERS}:Untrained"}
    metrics = {**networks, "columns": ["fad", "kl", "is", "clap"], "sanity": ["noise"]}
    made = FakeRun(tmp_path, systems=(*TWO, SYSTEMS[2]), metrics=metrics).make()
    score_run(made.path)
    found = page(made.path)
    results_, paired = found.section("results"), found.section("differences")
    strong = {
        results_.grid.heads[index].text
        for line in results_.grid.lines
        for index, cell in enumerate(line.cells)
        if cell.strong or "†" in cell.main
    }
    assert strong & {"FAD ↓", "KL ↓", "IS ↑"} == set()
    assert "Not ranked: FAD, KL, IS (heard by networks with random weights)." in results_.points
    verdicts = {
        paired.grid.heads[index].text
        for line in paired.grid.lines
        for index, cell in enumerate(line.cells)
        if {"✓", "✗"} & set(cell.main)
    }
    assert verdicts <= {"CLAP ↑"}
    table = tabulate(Results.read(made.path))
    assert [c.key for c in table.columns if c.random] == ["fad", "kl", "is"]


@pytest.mark.parametrize("clips", [24, 72])
def test_is_over_few_clips_is_refused_with_the_number_it_needs(tmp_path, clips):
    made = FakeRun(tmp_path, n=clips, systems=TWO, metrics={"columns": ["is"]}).make()
    score_run(made.path)
    text = to_markdown(page(made.path))
    assert ("needs at least 72 clips, has 24" in text) == (clips < 72)


@pytest.mark.parametrize("clips", [11, 12])
def test_intervals_of_fewer_than_twelve_clips_are_not_to_be_trusted(tmp_path, clips):
    made = FakeRun(tmp_path, n=clips, systems=TWO, metrics={"columns": ["kl"]}).make()
    score_run(made.path)
    text = to_markdown(page(made.path))
    assert ("With 11 clips no interval is to be trusted" in text) == (clips < 12)


@pytest.mark.parametrize("width", [60, 80, 100, 140, 220])
def test_no_line_is_wider_than_the_terminal(run, width):
    lines = printed(page(run), width).splitlines()
    assert max(map(cell_len, lines)) <= width
    text = " ".join(line.strip() for line in lines)
    for head in ("Processing", "FAD ↓", "CLAP ↑", "WER ↓"):
        assert head in text


def test_numbers_are_never_folded(run):
    shown = printed(page(run), 80)
    found = tabulate(Results.read(run))
    columns = [column for column in found.columns if column.key in ("fad", "clap", "generation")]
    for row in found.rows:
        for column in columns:
            cell = row.cells[column.key]
            assert value_text(cell, column) in shown
            assert interval(cell.low, cell.high, column.digits) in shown


def test_no_colour_without_a_terminal_and_no_escape_from_a_name(run):
    assert "\x1b" not in printed(page(run), 100)
    coloured = printed(page(run), 100, force_terminal=True, color_system="standard")
    assert "\x1b[1m" in coloured
    assert "\x1b[31m" not in coloured


def test_a_stream_without_arrows_still_gets_its_report(run):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    report(run, stream)
    stream.seek(0)
    assert "FAD ?" in stream.read()


def grid(columns: int, width: int) -> Grid:
    heads = (Head("System"), *(Head("9" * width, "quality") for _ in range(columns)))
    line = Line((Printed("a name of twenty-two"), *(Printed("9" * width) for _ in range(columns))))
    return Grid(heads, (line,))


@pytest.mark.parametrize(("columns", "tables"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_a_grid_is_split_into_as_few_tables_as_fit(columns, tables):
    layout = arrange(grid(columns, 12), 80)
    assert len(layout.parts) == tables
    shown = [index for part in layout.parts for index in part if index]
    assert shown == list(range(1, columns + 1))
    assert all(part[0] == 0 for part in layout.parts)


def test_sections_are_looked_up_by_keys_that_differ():
    sections = (Section("a", "One title"), Section("b", "One title"))
    assert Page("", "", sections).section("b") is sections[1]
    with pytest.raises(KeyError):
        Page("", "", sections).section("One title")
    with pytest.raises(ValueError, match="2 sections have the key 'a', expected one of each"):
        Page("", "", (*sections, sections[0]))


def test_a_grid_without_lines_is_only_its_title():
    page = Page("Title", "lead", (Section("e", "Empty", grid=Grid((Head("A"), Head("B")), ())),))
    assert "Empty" in printed(page, 80)


def test_a_heading_is_not_folded_where_there_is_room():
    lines = (Line(heading="Whisper + AudioLDM 2"), Line((Printed("FAD"), Printed("1.0"))))
    section = Section("t", "T", grid=Grid((Head("Figure"), Head("Run", "figures")), lines))
    assert "Whisper + AudioLDM 2" in printed(Page("", "", (section,)), 80)


def test_without_styles_what_is_bold_stands_in_stars():
    rows = [Row(name, name, "cascade", 20, 0, {"kl": _kl(value)}) for name, value in VALUES]
    found = Table((Column("kl", "KL", "", "lower", 2, "quality"),), rows, TASK)
    shown = Page("", "", (sections.describe_results(found, marks(found, [])),))
    plainly = printed(shown, 80)
    assert "*1.00*" in plainly
    unsaid = Page("", "", (shown.sections[0]._replace(points=()),))
    assert "*" not in printed(unsaid, 80)
    assert "*2.00*" not in plainly
    assert "- *Bold*: best of the systems" in plainly
    styled = printed(shown, 80, force_terminal=True, color_system="standard")
    assert "*" not in styled
    assert "\x1b[1m1.00" in styled
    assert "- Bold: best of the systems" in styled


VALUES = (("a", 1.0), ("b", 2.0))


def _kl(value: float) -> Estimate:
    return Estimate(value, n=20)


def test_columns_without_numbers_are_left_to_the_points(run):
    wide = printed(page(run), 220)
    assert "OVL ↑" not in wide
    assert "OVL, REL: not measured" in wide


def test_quiet_lines_without_a_number_are_left_out():
    lines = (
        Line(heading="Sanity"),
        Line((Printed("noise"), Printed("-")), quiet=True),
        Line(heading="Systems"),
        Line((Printed("star"), Printed("1"))),
    )
    section = Section("t", "T", grid=Grid((Head("System"), Head("FAD", "quality")), lines))
    shown = printed(Page("", "", (section,)), 80)
    assert "noise" not in shown
    assert "Sanity" not in shown
    assert "star" in shown


@pytest.mark.parametrize(
    ("low", "high", "better", "verdict"),
    [
        (0.1, 0.3, "higher", "✓"),
        (0.1, 0.3, "lower", "✗"),
        (-0.3, -0.1, "lower", "✓"),
        (-0.3, -0.1, "higher", "✗"),
        (-0.1, 0.1, "higher", ""),
        (0.0, 0.1, "higher", ""),
        (1e-16, 2e-16, "higher", ""),
    ],
)
def test_a_difference_is_judged_by_its_interval_and_direction(low, high, better, verdict):
    number = Estimate((low + high) / 2, low, high, 20, p_value=0.01)
    column = Column("kl", "KL", "", better, 2, "quality")
    assert sections.judge(number, column) == verdict


def test_a_narrow_difference_is_printed_with_the_digits_that_tell_it_from_0(run):
    results = Results.read(run)
    narrow = results.paired[0].model_copy(
        update={"column": "kl", "difference": Estimate(0.002, 0.001, 0.003, 24, p_value=0.01)}
    )
    (line,) = sections.describe_differences([narrow], tabulate(results)).grid.lines
    assert line.cells[2] == Printed("+0.002 ✗", "[0.001, 0.003]", strong=True)


def test_a_reason_of_all_systems_is_said_once(tmp_path):
    systems = tuple((name, "end-to-end", name.upper()) for name in "abc")
    made = FakeRun(tmp_path, n=4, systems=systems).make()
    text = to_markdown(page(made.path))
    assert "FAD, FD, KL, IS, CLAP of every system: not scored" in text


def test_systems_of_one_label_are_told_apart_everywhere(tmp_path):
    systems = (("a", "end-to-end", "STAR"), ("b", "end-to-end", "STAR"))
    made = FakeRun(tmp_path, n=12, systems=systems).make()
    text = to_markdown(page(made.path))
    latency = text.split("## Latency")[1].split("##")[0]
    assert latency.count("| STAR | 12 |") == 2
    assert "FAD, FD, KL, IS, CLAP of STAR, STAR: not scored" in text


def test_a_system_named_as_a_sanity_row_and_a_pair_of_unknown_systems_hide_nothing(run):
    results = Results.read(run)
    found = tabulate(results)
    sanity = next(row for row in found.rows if row.paradigm == "sanity")
    paired = [
        *results.paired,
        results.paired[0].model_copy(update={"a": "nobody", "b": "cascade"}),
    ]
    more = found._replace(rows=[*found.rows, sanity._replace(system="oracle")])
    text = " ".join(sections.describe_differences(paired, more).text)
    assert f"Error propagation: {found.labels['oracle']} minus {EVIL} is what" in text


def test_error_propagation_names_the_word_error_rate(run):
    text = " ".join(to_markdown(page(run)).split())
    wer = next(row for row in tabulate(Results.read(run)).rows if row.system == "cascade")
    assert f"minus {escape_markdown(EVIL)} is what the recogniser" in text
    assert f"(word error rate {figure(wer.cells['wer'].value, 3)}" in text
