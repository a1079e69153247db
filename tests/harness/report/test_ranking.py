"""Marks: which cells are best, which are worse for certain, and who competes with whom."""

import pytest

from stabench.harness.report.ranking import CEILINGS, SHARE, Mark, legend, marks
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.metrics_file import DependenceRecord, DifferenceRecord
from stabench.harness.scoring.provenance import SHARE as SHARE_COLUMN
from stabench.harness.scoring.sanity import CEILING, FLOOR
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.speech_to_audio import TASK
from stabench.harness.tasks.task import Column

FAD = Column("fad", "FAD", "", "lower", 2, "quality")
CLAP = Column("clap", "CLAP", "", "higher", 2, "quality")


def cell(value: float | None, n: int = 100) -> Estimate:
    """A value with an interval of 1 on either side."""
    ends = (None, None) if value is None else (value - 1, value + 1)
    return Estimate(value, *ends, n)


def sanity(name: str, fad: float | None, clap: float | None, n: int = 100, reason: str = "") -> Row:
    """A row of known sounds; `reason` is a note on its FAD."""
    made = row(name, fad, clap, "sanity", n)
    return made._replace(cells={**made.cells, "fad": made.cells["fad"]._replace(reason=reason)})


def row(name: str, fad: float | None, clap: float | None, paradigm: str = "cascade", n: int = 100):
    cells = {"fad": cell(fad, n), "clap": cell(clap, n)}
    return Row(name, name.upper(), paradigm, n, 0, cells)


def table(*rows: Row) -> Table:
    return Table((FAD, CLAP), list(rows), TASK)


def minus(
    a: str, b: str, column: str, low: float | None, high: float | None, p: float | None = None
) -> DifferenceRecord:
    """A difference with its interval; `p` is as that says unless it is given."""
    if low is None or high is None:
        return DifferenceRecord(a=a, b=b, column=column, difference=Estimate(None, n=100))
    p = p or (0.5 if low <= 0 <= high else 0.01)
    difference = Estimate((low + high) / 2, low, high, 100, p_value=p)
    return DifferenceRecord(a=a, b=b, column=column, difference=difference)


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
    assert found.open == (
        "FAD does not separate A from B at n = 100.",
        "CLAP does not separate B from C at n = 100.",
    )


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
    rows = table(row("a", 2.0, 0.4), row("b", 2.0 + 2e-16, 0.5), row("c", 3.0, 0.5))
    paired = [minus("b", "a", "fad", 1e-16, 3e-16), minus("c", "a", "fad", 0.5, 1.5)]
    found = marks(rows, paired)
    assert found.of(rows.rows[1], "fad") == Mark(best=True)
    assert found.of(rows.rows[2], "fad") == Mark(worse=True)


def test_fewer_clips_are_not_ranked_and_no_test_is_said_to_be_none():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5), row("c", 1.0, 0.9, n=90))
    found = marks(rows, [minus("a", "b", "fad", -2.0, -0.1), minus("b", "a", "clap", None, None)])
    assert found.of(rows.rows[0], "fad").best
    assert found.of(rows.rows[2], "fad") == Mark()
    assert found.open == (
        "Not tested: CLAP of A (there is no tested difference from the best).",
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
    assert "p at most 0.05 by sign flips, adjusted for the number of comparisons" in said
    assert legend(table(), marks(table(), [])) == ()


@pytest.mark.parametrize(("low", "high"), [(-2.0, -0.1), (-0.1, 2.0)])
def test_a_difference_that_speaks_for_the_row_is_no_mark_against_it(low, high):
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.4))
    assert not marks(rows, [minus("b", "a", "fad", low, high)]).of(rows.rows[1], "fad").worse


def test_estimates_of_either_direction_are_one_test():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.4))
    for paired in (minus("a", "b", "fad", -2.0, -0.1), minus("b", "a", "fad", 0.1, 2.0)):
        assert marks(rows, [paired]).of(rows.rows[1], "fad").worse


def test_no_value_beyond_its_ceiling_is_best_nor_any_other_in_its_column():
    ceilings = sanity("ceiling", 1.5, 0.44), sanity("floor", 1.8, 0.45)
    rows = table(row("a", 2.0, 0.4), row("b", 1.6, 0.46), row("c", 3.0, 0.2), *ceilings)
    paired = [minus("b", "c", "clap", 0.1, 0.4), minus("b", "c", "fad", -2.0, -1.0)]
    found = marks(rows, paired)
    assert all(found.of(one, "clap") == Mark() for one in rows.rows)
    assert found.of(rows.rows[1], "fad").best
    assert found.of(rows.rows[2], "fad").worse
    assert found.open[0] == (
        "CLAP: no best is marked, B (0.46) is beyond the ceiling of 0.45 (FLOOR): a better figure "
        "is no better sound there."
    )


def test_the_ceilings_are_the_rows_that_scoring_writes():
    """By name: the report does not import what scoring needs."""
    assert {CEILING, FLOOR} < set(CEILINGS) <= {CEILING, FLOOR, *TASK.sanity}
    assert SHARE == SHARE_COLUMN


def test_a_ceiling_is_compared_as_printed_and_the_best_of_several_counts():
    at_it = table(row("a", 2.0, 0.452), row("b", 3.0, 0.2), sanity("floor", 1.0, 0.447))
    assert marks(at_it, []).of(at_it.rows[0], "clap").best is True
    rows = table(row("a", 2.0, 0.46), row("b", 3.0, 0.2), sanity("floor", 1.0, 0.45))
    assert not marks(rows, []).of(rows.rows[0], "clap").best
    higher = table(*rows.rows, sanity("ceiling", 1.0, 0.47))
    assert marks(higher, []).of(rows.rows[0], "clap").best


def test_only_known_good_sounds_of_as_many_clips_are_a_ceiling():
    systems = row("a", 2.0, 0.4), row("b", 3.0, 0.3)
    for one in (
        sanity("noise", 9.0, 0.1),
        sanity("shuffled", 9.0, 0.1),
        sanity("floor", None, None),
        sanity("floor", 9.0, 0.1, n=50),
        row("floor", 9.0, 0.1, "oracle"),
    ):
        rows = table(*systems, one)
        assert marks(rows, []).of(rows.rows[0], "clap").best, one
        assert marks(rows, []).of(rows.rows[0], "fad").best, one


def test_the_distance_of_two_halves_is_no_ceiling_but_the_recordings_own_figures_are():
    halves = sanity("other-half", 2.5, 0.35, reason="50 clips against 50")
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.3), halves)
    found = marks(rows, [])
    assert found.of(rows.rows[0], "fad").best
    assert not found.of(rows.rows[0], "clap").best


def test_where_two_halves_are_further_apart_than_any_system_no_order_is_read():
    halves = sanity("other-half", 3.01, 0.9, reason="5 clips against 5")
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.3), halves)
    found = marks(rows, [minus("b", "a", "fad", 0.5, 1.5)])
    assert not any(column == "fad" for _, column in found.cells)
    assert found.doubts == (
        "FAD: no order can be read. Two halves of the recordings are further apart (3.01) than any "
        "system is from all of them; more clips would tell.",
    )
    # The recordings' own score has no note: it is no distance.
    assert marks(table(*rows.rows[:2], sanity("other-half", 9.0, 0.1)), []).doubts == ()


@pytest.mark.parametrize(
    ("p", "doubted"), [(0.2, True), (0.051, True), (0.05, False), (None, False)]
)
def test_where_the_recordings_do_not_match_their_captions_no_order_is_read(p, doubted):
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.3))
    recordings = {"clap": DependenceRecord(own=0.1, others=0.1, p_value=p, n=100)}
    found = marks(rows, [minus("b", "a", "clap", -0.2, -0.1)], recordings)
    assert any(column == "clap" for _, column in found.cells) is not doubted
    assert any("CLAP: no order can be read" in doubt for doubt in found.doubts) is doubted


def test_a_test_decides_and_not_the_interval_alone():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.3))
    for p, low, worse in ((0.05, 0.5, True), (0.06, 0.5, False), (0.01, -0.5, False)):
        found = marks(rows, [minus("b", "a", "fad", low, 1.5, p)])
        assert found.of(rows.rows[1], "fad").worse is worse


@pytest.mark.parametrize(("n", "marked"), [(20, True), (19, False), (12, False)])
def test_few_clips_give_no_marks_and_a_sentence(n, marked):
    rows = table(row("a", 2.0, 0.4, n=n), row("b", 3.0, 0.3, n=n))
    record = minus("b", "a", "fad", 0.5, 1.5)
    record = record.model_copy(update={"difference": record.difference._replace(n=n)})
    found = marks(rows, [record])
    assert bool(found.cells) is marked
    lines = [line for line in found.open if "marks need 20" in line]
    assert lines == ([] if marked else [f"Not ranked: FAD, CLAP ({n} clips, marks need 20)."])


def test_a_share_of_the_ceiling_above_1_is_beyond_it():
    share = Column("ceiling_share", "Recall / ceiling", "", "higher", 2, "quality")
    rows = [row(name, 2.0, 0.4) for name in "ab"]
    for one, value in zip(rows, (1.02, 0.9), strict=True):
        one.cells["ceiling_share"] = cell(value)
    assert not marks(Table((share,), rows, TASK), []).of(rows[0], "ceiling_share").best
    rows[0].cells["ceiling_share"] = cell(1.0)
    assert marks(Table((share,), rows, TASK), []).of(rows[0], "ceiling_share").best


def test_a_column_that_separates_no_systems_has_no_best_and_says_so():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5), row("c", 4.0, 0.3))
    paired = [minus(a, b, "fad", -2.0, 0.1) for a, b in ("ab", "ac", "bc")]
    found = marks(rows, paired)
    assert not any(mark.best or mark.worse for (_, c), mark in found.cells.items() if c == "fad")
    assert found.open[0] == (
        "FAD does not separate these systems at n = 100: no paired difference has an adjusted p of "
        "at most 0.05, no best is marked."
    )
    apart = marks(rows, [*paired[:2], minus("b", "c", "fad", -2.0, -0.1)])
    assert apart.of(rows.rows[0], "fad").best
    assert apart.open[0] == "FAD does not separate A from B, C at n = 100."
    untested = marks(rows, paired[:1])
    assert untested.of(rows.rows[0], "fad").best
    assert "FAD does not separate A from B at n = 100." in untested.open
    assert "Not tested: FAD of C (there is no tested difference from the best)." in untested.open


def test_columns_alike_share_a_sentence_and_oracles_have_their_own():
    rows = table(row("a", 2.0, 0.5, "oracle"), row("b", 3.0, 0.4, "oracle"))
    paired = [minus("a", "b", "fad", -2.0, 0.1), minus("a", "b", "clap", -0.1, 0.2)]
    [sentence] = marks(rows, paired).open
    assert sentence.startswith("FAD, CLAP do not separate the oracles at n = 100:")


def test_networks_with_random_weights_give_no_marks():
    learned = table(row("a", 2.0, 0.4), row("b", 3.0, 0.2))
    rows = learned._replace(columns=(FAD._replace(random=True), CLAP))
    paired = [minus("b", "a", "fad", 0.5, 1.5), minus("b", "a", "clap", -0.3, -0.1)]
    found = marks(rows, paired)
    assert {column for _, column in found.cells} == {"clap"}
    assert found.open == ("Not ranked: FAD (heard by networks with random weights).",)
    every = rows._replace(columns=(rows.columns[0],))
    assert legend(every, marks(every, paired)) == marks(every, paired).open


def test_where_the_machine_drifted_nothing_is_best():
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.5))
    drifted = Estimate(-1.0, n=100, reason="the machine drifted during the run: no interval")
    found = marks(rows, [DifferenceRecord(a="a", b="b", column="fad", difference=drifted)])
    assert not any(column == "fad" for _, column in found.cells)
    assert found.open[0].startswith("FAD does not separate these systems at n = 100")
    # A difference that was stored before tests were is none that was tested.
    older = drifted._replace(low=-2.0, high=-0.5, reason=None)
    found = marks(rows, [DifferenceRecord(a="a", b="b", column="fad", difference=older)])
    assert any("Not tested: FAD of B" in line for line in found.open)


def test_copies_of_few_clips_give_no_marks_but_their_times_count_as_they_are():
    """100 clips of which 12 are different: times are of the different ones already."""
    rows = table(row("a", 2.0, 0.4), row("b", 3.0, 0.3))
    timed = Column("processing", "Processing", "ms", "lower", 1, "latency")
    for each in rows.rows:
        each.cells["processing"] = cell(each.cells["fad"].value)
    rows = rows._replace(columns=(timed, FAD))
    paired = [minus("b", "a", key, 0.5, 1.5) for key in ("processing", "fad")]
    found = marks(rows, paired, different=12)
    assert {column for _, column in found.cells} == {"processing"}
    assert "Not ranked: FAD (12 clips, marks need 20)." in found.open
    assert {column for _, column in marks(rows, paired, different=20).cells} == {
        "processing",
        "fad",
    }
