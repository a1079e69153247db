"""Marks: which cells are best, which are worse for certain, and who competes with whom."""

import pytest

from harness.figures import figure
from harness.marks import Mark, legend, marks
from harness.metrics_file import DifferenceRecord
from harness.table import Cell, Column, Row, Table

FAD = Column("fad", "FAD", "", "lower", 2, "quality")
CLAP = Column("clap", "CLAP", "", "higher", 2, "quality")


def cell(column: Column, value: float | None, n: int = 100) -> Cell:
    text = None if value is None else figure(value, column.digits)
    ends = (None, None) if value is None else (value - 1, value + 1)
    return Cell(value, *ends, "", column.better, text, None, digits=column.digits, n=n)


def row(name: str, fad: float | None, clap: float | None, paradigm: str = "cascade", n: int = 100):
    cells = {"fad": cell(FAD, fad, n), "clap": cell(CLAP, clap, n)}
    return Row(name, name.upper(), paradigm, n, 0, cells)


def table(*rows: Row) -> Table:
    return Table((FAD, CLAP), list(rows))


def minus(a: str, b: str, column: str, low: float | None, high: float | None) -> DifferenceRecord:
    value = None if low is None or high is None else (low + high) / 2
    return DifferenceRecord(a=a, b=b, column=column, difference=value, low=low, high=high, n=100)


def test_the_best_is_lowest_or_highest_and_another_is_worse_where_the_interval_excludes_0():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5, "end-to-end"), row("c", 4.0, 0.3))
    paired = [
        minus("b", "a", "fad", -0.5, 2.5),
        minus("a", "c", "fad", -3.0, -1.0),
        minus("b", "a", "clap", 0.05, 0.15),
        minus("b", "c", "clap", 0.0, 0.4),
    ]
    found = marks(rows, paired)
    assert found.cells == {
        ("a", "fad"): Mark(best=True),
        ("b", "fad"): Mark(),
        ("c", "fad"): Mark(worse=True),
        ("b", "clap"): Mark(best=True),
        ("a", "clap"): Mark(worse=True),
        ("c", "clap"): Mark(),
    }
    assert found.open == ()


def test_oracles_compete_with_oracles_and_sanity_rows_with_nobody():
    sanity = row("a", 0.0, 9.0, "sanity")
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5), row("o", 1.0, 0.9, "oracle"), sanity)
    found = marks(rows, [])
    assert found.of(rows.rows[0], "fad").best
    assert found.of(rows.rows[2], "fad") == Mark()
    assert found.of(sanity, "fad") == Mark()
    two = table(*rows.rows, row("p", 1.5, 0.8, "oracle"))
    assert marks(two, []).of(two.rows[2], "fad").best
    assert marks(two, []).of(two.rows[0], "fad").best


def test_one_system_alone_is_not_the_best():
    assert marks(table(row("a", 2.0, None), row("b", None, None)), []).cells == {}


def test_values_that_print_alike_are_best_together_unless_one_is_worse():
    rows = table(row("a", 2.001, 0.4), row("b", 2.002, 0.5))
    assert marks(rows, []).of(rows.rows[1], "fad") == Mark(best=True)
    known = [minus("b", "a", "fad", 0.0005, 0.0015)]
    assert marks(rows, known).of(rows.rows[1], "fad") == Mark(worse=True)


def test_what_differs_by_rounding_alone_is_not_worse():
    rows = table(row("a", 2.0, 0.4), row("b", 2.0 + 2e-16, 0.5))
    found = marks(rows, [minus("b", "a", "fad", 1e-16, 3e-16)])
    assert found.of(rows.rows[1], "fad") == Mark(best=True)


def test_fewer_clips_are_not_ranked_and_no_test_is_said_to_be_none():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5), row("c", 1.0, 0.9, n=90))
    found = marks(rows, [minus("a", "b", "fad", -2.0, -0.1), minus("b", "a", "clap", None, None)])
    assert found.of(rows.rows[0], "fad").best
    assert found.of(rows.rows[2], "fad") == Mark()
    assert found.open == (
        "Not tested: CLAP of A (there is no paired difference from the best).",
        "Not ranked: FAD, CLAP of C (over 2 % fewer clips than others).",
    )


def test_a_clip_in_a_hundred_may_be_lacking():
    rows = table(row("a", 2.0, 0.4), row("b", 1.0, 0.5, n=98))
    assert marks(rows, []).of(rows.rows[1], "fad").best
    alone = table(row("a", 2.0, 0.4), row("b", 1.0, 0.5, n=97))
    assert marks(alone, []).cells == {}
    assert "Not ranked: FAD, CLAP of B" in marks(alone, []).open[0]


def test_the_legend_says_what_marks_mean_and_is_empty_without_any():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5))
    found = marks(rows, [])
    said = " ".join(legend(rows, found))
    assert said.startswith("Bold: best of the systems")
    assert "oracle" not in said
    assert "excludes 0" in said
    assert legend(table(), marks(table(), [])) == ()


@pytest.mark.parametrize(("low", "high"), [(-2.0, -0.1), (-0.1, 2.0)])
def test_a_difference_that_speaks_for_the_row_is_no_mark_against_it(low, high):
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.4))
    assert not marks(rows, [minus("b", "a", "fad", low, high)]).of(rows.rows[1], "fad").worse


def test_estimates_of_either_direction_are_one_test():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.4))
    for paired in (minus("a", "b", "fad", -2.0, -0.1), minus("b", "a", "fad", 0.1, 2.0)):
        assert marks(rows, [paired]).of(rows.rows[1], "fad").worse
