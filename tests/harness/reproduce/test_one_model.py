"""The page of one model in several papers: made from the tables, and current."""

import re
from pathlib import Path

import pytest

from stabench.harness.reproduce.one_model import (
    COMMAND,
    describe_spread,
    list_models,
    write_page,
)
from stabench.harness.reproduce.paper import read_all
from stabench.harness.suites.reference import replace_generated

PAGE = Path(__file__).resolve().parents[3] / "docs" / "one-model.md"
PAPERS = read_all()
MODELS = dict(list_models(PAPERS))


def test_the_page_is_what_the_generator_writes():
    text = PAGE.read_text("utf-8")
    assert text == replace_generated(text, write_page(PAPERS), COMMAND), f"{COMMAND} {PAGE}"


def test_every_model_of_two_tables_is_there_with_all_its_rows():
    rows = [row for paper in PAPERS for row in paper.rows if row.model]
    shared = {r.model for r in rows if sum(other.model == r.model for other in rows) > 1}
    on_page = {printing.row.model for printings in MODELS.values() for printing in printings}
    assert shared <= on_page
    tango2 = [(p.paper.name, p.cell("clap")) for p in MODELS["Tango 2"]]
    assert tango2 == [
        ("impact-table1", "0.375§"),
        ("star-table2", "0.466§"),
        ("tango2", "0.57§"),
        ("tangoflux", "0.447§"),
    ]
    assert "seen in a secondary text" in PAGE.read_text("utf-8")


def test_the_ends_have_the_digits_of_their_tables():
    assert "CLAP 0.375 to 0.57" in describe_spread(MODELS["Tango 2"])
    assert describe_spread(MODELS["AudioLDM-L-Full"]) == "The same figures in all tables"


def test_the_figures_of_the_page_s_first_words_are_those_of_the_tables():
    text = " ".join(PAGE.read_text("utf-8").split())
    quoted = re.search(r"one model has FD (\S+) and (\S+), another CLAP (\S+) and (\S+)\. ", text)
    assert quoted is not None
    spreads = [describe_spread(rows) for rows in MODELS.values()]
    assert any(f"FD {quoted[1]} to {quoted[2]};" in spread for spread in spreads)
    assert any(f"CLAP {quoted[3]} to {quoted[4]}" in spread for spread in spreads)


@pytest.mark.parametrize("axis", ["channels", "dc", "resampler", "via", "int16", "long", "splits"])
def test_the_axes_of_the_page_are_those_of_the_command(axis):
    from stabench.harness.reproduce.readings import AXES

    (line,) = re.findall(rf"^\| `{axis}`[^|]*\|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert all(f"`{value}`" in line for value in AXES[axis])
