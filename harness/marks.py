"""Marks: which cells of a table are best, and which are worse than the best beyond chance.

Pure, and the same for every format. Cells of one column compete when their rows have the same
field (systems; oracles apart; sanity rows never) and the same number of clips to 2 %, the only part
of a number's provenance in which the rows of one table can differ: FAD, FD and IS depend on it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.estimate import Estimate
from harness.figures import decimals, figure, is_zero
from harness.metrics_file import DifferenceRecord
from harness.table import Column, Row, Table

FIELDS = (("cascade", "end-to-end", "unstated"), ("oracle",))
"""Paradigms that compete with each other."""
FEWER = 0.02
"""Share of the clips that a row may lack and still be ranked."""
PERCENT = f"{100 * FEWER:g} %"
WORSE = "\N{DAGGER}"
"""The mark of a cell that is worse than the best."""
BOLD = "Bold"
"""How the best is printed."""


class Mark(NamedTuple):
    """`best` of its column and field (ties as printed), or `worse` than it in a paired test."""

    best: bool = False
    worse: bool = False


class Contest(NamedTuple):
    """One column of one field: who competes, the best first, and who has too few clips."""

    column: Column
    ranked: list[Row]
    unranked: list[Row]


class Marks(NamedTuple):
    """Marks by (system, column), and what they leave open, in sentences."""

    cells: dict[tuple[str, str], Mark]
    open: tuple[str, ...] = ()

    def of(self, row: Row, column: str) -> Mark:
        """The mark of a cell; sanity rows have none, whatever they are called."""
        return Mark() if row.paradigm == "sanity" else self.cells.get((row.system, column), Mark())


def marks(table: Table, paired: Sequence[DifferenceRecord]) -> Marks:
    """Best cells, and cells that are worse: the interval of their paired difference excludes 0.

    `paired` are the differences of metrics.json and, for the latency columns, those of
    harness/clip_times.py.
    """
    known = {(one.a, one.b, one.column): one.estimate for one in paired}
    cells: dict[tuple[str, str], Mark] = {}
    untested: dict[str, list[str]] = {}
    unranked: dict[str, list[str]] = {}
    for column, (best, *others), left_out in _contests(table):
        unranked.setdefault(column.label, []).extend(row.label for row in left_out)
        if others:
            cells[best.system, column.key] = Mark(best=True)
        for row in others:
            minus = _minus(known, row.system, best.system, column.key)
            worse = minus is not None and _is_worse(minus, column)
            tied = _figure(row, column) == _figure(best, column)
            cells[row.system, column.key] = Mark(best=tied and not worse, worse=worse)
            if minus is None and not tied:
                untested.setdefault(column.label, []).append(row.label)
    tests = _sentences(untested, "Not tested", "there is no paired difference from the best")
    ranks = _sentences(unranked, "Not ranked", f"over {PERCENT} fewer clips than others")
    return Marks(cells, (*tests, *ranks))


def legend(table: Table, marks: Marks) -> tuple[str, ...]:
    """What the marks mean, to be printed wherever they are; empty without any."""
    if not marks.cells:
        return ()
    apart = "; oracles, which read the true caption, are ranked apart"
    oracle = any(row.paradigm == "oracle" for row in table.rows)
    return (
        f"{BOLD}: best of the systems with as many clips, to {PERCENT}{apart if oracle else ''}.",
        f"{WORSE} worse than the best: the 95 % interval of the paired difference on the same "
        "clips excludes 0 (not corrected for the number of comparisons).",
        *marks.open,
    )


def _contests(table: Table) -> Iterator[Contest]:
    """Every column of every field in which something was measured."""
    for field in FIELDS:
        rows = [row for row in table.rows if row.paradigm in field]
        for column in table.columns:
            measured = [row for row in rows if row.cells[column.key].value is not None]
            if measured:
                yield _contest(column, measured)


def _contest(column: Column, measured: list[Row]) -> Contest:
    least = (1 - FEWER) * max(row.cells[column.key].n for row in measured)
    sign = 1 if column.better == "lower" else -1
    ranked = [row for row in measured if row.cells[column.key].n >= least]
    ranked.sort(key=lambda row: sign * (row.cells[column.key].value or 0.0))
    return Contest(column, ranked, [row for row in measured if row not in ranked])


def _figure(row: Row, column: Column) -> str:
    """The value as it is printed."""
    return figure(row.cells[column.key].value or 0.0, column.digits)


def _minus(
    known: dict[tuple[str, str, str], Estimate], row: str, best: str, column: str
) -> Estimate | None:
    """The row minus the best, whichever way round it was measured; None without an interval."""
    if found := known.get((row, best, column)):
        return None if found.low is None else found
    found = known.get((best, row, column))
    if found is None or found.low is None or found.high is None or found.value is None:
        return None
    return found._replace(value=-found.value, low=-found.high, high=-found.low)


def _is_worse(minus: Estimate, column: Column) -> bool:
    if minus.low is None or minus.high is None:
        return False
    digits = max(column.digits, decimals([minus.high - minus.low], least_figures=1))
    if is_zero(minus.low, minus.high, digits):
        return False
    return minus.low > 0 if column.better == "lower" else minus.high < 0


def _sentences(found: dict[str, list[str]], what: str, why: str) -> Iterator[str]:
    """One sentence for all columns in which the same rows are meant."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column, rows in found.items():
        if rows:
            alike.setdefault(tuple(rows), []).append(column)
    for rows, columns in alike.items():
        yield f"{what}: {', '.join(columns)} of {', '.join(rows)} ({why})."
