"""Marks: which cells of a table are best, and which are worse than the best beyond chance.

Pure, and the same for every format. Cells of one column compete when their rows have the same
field (systems; oracles apart; sanity rows never) and the same number of clips to 2 %, the only part
of a number's provenance in which the rows of one table can differ: FAD, FD and IS depend on it.

A mark must not mislead. A column has none where a value lies beyond its ceiling (there a better
figure is no better sound), where no paired difference tells any two systems apart, where its
network has random weights, or where clips are few; a sentence under the table says so. Where the
recordings themselves show that no order can be read, a sentence above the table says it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure, is_zero
from stabench.harness.render.terminal import BOLD
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.metrics_file import DependenceRecord, DifferenceRecord
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.permutation import ALPHA, LEAST_UNITS
from stabench.harness.suites.trained_on import TRAINED
from stabench.harness.tasks.task import Column

# Sanity rows of recordings or of a perfect generator: the best of them is a column's ceiling.
# A figure with a note is none: the distance of two halves of the recordings is of other content.
CEILINGS = ("ceiling", "floor", "other-half")
# The column that is a share of a ceiling: its own is 1.
SHARE = "ceiling_share"
# The sanity row that sets two halves of the recordings against each other, where sets are compared.
HALVES = "other-half"
# Share of the clips that a row may lack and still be ranked.
FEWER = 0.02
PERCENT = f"{100 * FEWER:g} %"
# The mark of a cell that is worse than the best.
WORSE = "\N{DAGGER}"

TEST = (
    f"p at most {ALPHA:g} by sign flips, adjusted for the number of comparisons (Holm; quality and "
    "times apart), and a 95 % interval without 0"
)
# Paired differences by (minuend, subtrahend, column).
Known = Mapping[tuple[str, str, str], Estimate]


class Mark(NamedTuple):
    """`best` of its column and field (ties as printed), or `worse` than it in a paired test.

    `trained`: the system was trained on this metric.
    """

    best: bool = False
    worse: bool = False
    trained: bool = False


class Contest(NamedTuple):
    """One column of one field: who competes, the best first, and who has too few clips."""

    column: Column
    who: str
    ranked: list[Row]
    unranked: list[Row]


class Marks(NamedTuple):
    """Marks by (system, column); sentences on what they leave open, and `doubts` of the whole."""

    cells: dict[tuple[str, str], Mark]
    open: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def of(self, row: Row, column: str) -> Mark:
        """The mark of a cell; sanity rows have none, whatever they are called."""
        mark = Mark() if row.is_sanity else self.cells.get((row.system, column), Mark())
        return mark._replace(trained=column in row.trained_on)


def find_marks(results: Results, table: Table) -> Marks:
    """Return the marks of a run's table, by all paired differences and its recordings."""
    recordings = results.metrics.references.input_dependence if results.metrics else {}
    paired = (*results.judged, *results.judged_latencies)
    return marks(table, paired, recordings, results.different_clips)


def marks(
    table: Table,
    paired: Sequence[DifferenceRecord],
    recordings: Mapping[str, DependenceRecord] | None = None,
    different: int | None = None,
) -> Marks:
    """Return the best cells, and those that a paired test tells from the best.

    `paired` are differences with adjusted p-values, of quality and of times (`Results.judged` and
    `judged_latencies`); `recordings` tells by column whether recordings fit their own captions.
    `different` clips are no copies of others, where that is known.
    """
    known = {(record.a, record.b, record.column): record.difference for record in paired}
    cells: dict[tuple[str, str], Mark] = {}
    untested: dict[str, list[str]] = defaultdict(list)
    unranked: dict[str, list[str]] = defaultdict(list)
    together: dict[str, list[str]] = defaultdict(list)
    beyond: list[str] = []
    doubts = dict(_list_doubts(table, recordings or {}))
    every = list(_list_contests(table))
    few = [c for c in every if _count_clips(c, different) < LEAST_UNITS]
    contests = [c for c in every if c not in few and c.column.key not in doubts]
    for contest in contests:
        label = contest.column.label
        unranked[label] += [row.label for row in contest.unranked]
        # Beyond the ceiling a better figure is no better sound: the whole column gets no mark.
        if sentence := _name_beyond(contest, table):
            beyond.append(sentence)
            continue
        untested[label] += _list_untested(contest, known)
        if ending := _describe_ties(contest, known):
            together[ending].append(label)
        if not _are_all_tied(contest, known):
            cells |= _mark_rows(contest, known)
    return Marks(
        cells,
        (
            *beyond,
            *(f"{', '.join(c)} {'do' if c[1:] else 'does'} {end}" for end, c in together.items()),
            *_write_sentences(
                untested, "Not tested", "there is no tested difference from the best"
            ),
            *_write_sentences(unranked, "Not ranked", f"over {PERCENT} fewer clips than others"),
            *_name_few(few, different),
            *_name_unranked(table),
        ),
        tuple(doubts.values()),
    )


def explain_trained(table: Table) -> tuple[str, ...]:
    """Return what the mark of a metric that a system was trained on means; nothing without one."""
    labels = [
        row.label
        for row in table.systems
        if any(row.cells[key].value is not None for key in row.trained_on if key in row.cells)
    ]
    return (
        f"{TRAINED} {', '.join(labels)}: trained on this metric, or on what it chose, so a better "
        "figure there is no evidence of better sound.",
    ) * bool(labels)


def explain(table: Table, marks: Marks) -> tuple[str, ...]:
    """Return what the marks mean, in a sentence each; nothing for marks that no cell has."""
    note = explain_trained(table)
    if not any(mark.best or mark.worse for mark in marks.cells.values()):
        return note
    apart = "; oracles, which read the true caption, are ranked apart"
    oracle = any(row.paradigm in table.task.told for row in table.rows)
    return (
        f"{BOLD}: best of the systems with as many clips, to {PERCENT}{apart if oracle else ''}.",
        f"{WORSE} worse than the best on the same clips: {TEST}.",
        *note,
    )


def legend(table: Table, marks: Marks) -> tuple[str, ...]:
    """Return what the marks mean and what they leave open, to be printed wherever they are."""
    return (*explain(table, marks), *marks.open)


def _list_contests(table: Table) -> Iterator[Contest]:
    """Every column of every field in which something was measured by networks that learned."""
    for field in table.task.fields:
        rows = [row for row in table.rows if row.paradigm in field]
        who = "the oracles" if field == table.task.told else "these systems"
        for column in (column for column in table.columns if not column.random):
            cells = [(row, row.cells[column.key]) for row in rows]
            measured = [(row, cell) for row, cell in cells if cell.value is not None]
            if not measured:
                continue
            # A mean over far fewer clips is one of other clips: it does not compete.
            least = (1 - FEWER) * max(cell.n for _, cell in measured)
            ranked = [row for row, cell in measured if cell.n >= least]
            ranked.sort(key=lambda row: _sign(column) * (row.cells[column.key].value or 0.0))
            unranked = [row for row, cell in measured if cell.n < least]
            yield Contest(column, who, ranked, unranked)


def _count_clips(contest: Contest, different: int | None) -> int:
    """The clips behind a column of one field, of the system that has most; no copies of others."""
    most = max(row.cells[contest.column.key].n for row in contest.ranked)
    # The times of copies are those of one clip already.
    timed = contest.column.block == "latency"
    return most if different is None or timed else min(most, different)


def _name_few(contests: Sequence[Contest], different: int | None) -> Iterator[str]:
    """A sentence on the columns with too few clips for a mark."""
    few: dict[int, dict[str, None]] = defaultdict(dict)
    for contest in contests:
        few[_count_clips(contest, different)][contest.column.label] = None
    for n, labels in few.items():
        yield f"Not ranked: {', '.join(labels)} ({n} clips, marks need {LEAST_UNITS})."


def _sign(column: Column) -> int:
    """The direction in which values get worse."""
    return 1 if column.better == "lower" else -1


def _print_figure(row: Row, column: Column) -> str:
    """The value as it is printed."""
    return figure(row.cells[column.key].value or 0.0, column.digits)


def _name_beyond(contest: Contest, table: Table) -> str:
    """A sentence that names the figures which are better, as printed, than the ceiling; or none."""
    column, sign = contest.column, _sign(contest.column)
    ceilings = dict(_list_ceilings(contest, table))
    if not ceilings:
        return ""
    name = min(ceilings, key=lambda label: sign * ceilings[label])
    limit = ceilings[name]
    above = [
        f"{row.label} ({_print_figure(row, column)})"
        for row in contest.ranked
        if sign * round(row.cells[column.key].value or 0.0, column.digits)
        < sign * round(limit, column.digits)
    ]
    if not above:
        return ""
    return (
        f"{column.label}: no best is marked, {', '.join(above)} {'are' if above[1:] else 'is'} "
        f"beyond the ceiling of {figure(limit, column.digits)} ({name}): a better figure is no "
        "better sound there."
    )


def _list_ceilings(contest: Contest, table: Table) -> Iterator[tuple[str, float]]:
    """Labels and values of the rows that bound a column, of at least as many clips, to 2 %."""
    column = contest.column
    if column.key == SHARE:
        yield "all that the ceiling has", 1.0
    # FAD, FD and IS depend on the number of clips, so a bound of fewer clips bounds nothing here.
    least = (1 - FEWER) * contest.ranked[0].cells[column.key].n
    for row in (row for row in table.rows if row.is_sanity and row.system in CEILINGS):
        cell = row.cells[column.key]
        if cell.value is not None and not cell.reason and cell.n >= least:
            yield row.label, cell.value


def _mark_rows(contest: Contest, known: Known) -> Iterator[tuple[tuple[str, str], Mark]]:
    """The marks of all who compete, by (system, column); none of one alone."""
    column, (best, *others) = contest.column, contest.ranked
    if others:
        yield (best.system, column.key), Mark(best=True)
    for row in others:
        minus = _find_difference(known, row.system, best.system, column.key)
        worse = minus is not None and _sign(column) * find_side(minus, column) > 0
        # Two values that are printed alike must not be marked differently, unless a test says so.
        tied = _print_figure(row, column) == _print_figure(best, column)
        yield (row.system, column.key), Mark(best=tied and not worse, worse=worse)


def _list_untested(contest: Contest, known: Known) -> list[str]:
    """Who has another figure than the best and no paired difference from it."""
    column, (best, *others) = contest.column, contest.ranked
    return [
        row.label
        for row in others
        if _print_figure(row, column) != _print_figure(best, column)
        and _find_difference(known, row.system, best.system, column.key) is None
    ]


def _are_all_tied(contest: Contest, known: Known) -> bool:
    """Whether all were tested against the best, and no test tells any two apart."""
    column, (best, *others) = contest.column, contest.ranked
    pairs = [
        (a, _find_difference(known, a.system, b.system, column.key))
        for a, b in combinations(contest.ranked, 2)
    ]
    return bool(others) and all(
        not find_side(minus, column) if minus else a is not best for a, minus in pairs
    )


def _describe_ties(contest: Contest, known: Known) -> str:
    """The end of a sentence: whom the column does not separate from the best; or nothing."""
    column, (best, *others) = contest.column, contest.ranked
    tests = [(row, _find_difference(known, row.system, best.system, column.key)) for row in others]
    level = [(row.label, minus.n) for row, minus in tests if minus and not find_side(minus, column)]
    if not level:
        return ""
    counts = sorted({n for _, n in level})
    n = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    if _are_all_tied(contest, known):
        return (
            f"not separate {contest.who} at n = {n}: no paired difference has an adjusted p of at "
            f"most {ALPHA:g}, no best is marked."
        )
    return f"not separate {best.label} from {', '.join(name for name, _ in level)} at n = {n}."


def _find_difference(known: Known, row: str, other: str, column: str) -> Estimate | None:
    """One minus the other, whichever way round it was measured; None without a test.

    A value with a reason (the machine drifted) was tested, and shown to tell nothing.
    """
    for minuend, subtrahend in ((row, other), (other, row)):
        minus = known.get((minuend, subtrahend, column))
        if minus and (minus.p_value is not None or (minus.value is not None and minus.reason)):
            return minus if minuend == row else minus.negated()
    return None


def find_side(minus: Estimate, column: Column) -> int:
    """Return on which side of 0 a difference lies (-1 or 1), 0 where it is not told from 0.

    Its p-value is adjusted for all that is tested with it; its interval must not hold 0 either.
    """
    if minus.low is None or minus.high is None or column.random or minus.n < LEAST_UNITS:
        return 0
    if minus.p_value is None or minus.p_value > ALPHA:
        return 0
    # As the differences are printed: an end that is shown as 0 must not count as beyond 0.
    digits = max(column.digits, decimals([minus.high - minus.low], least_figures=1))
    if is_zero(minus.low, minus.high, digits):
        return 0
    return int(minus.low > 0) - int(minus.high < 0)


def _list_doubts(
    table: Table, recordings: Mapping[str, DependenceRecord]
) -> Iterator[tuple[str, str]]:
    """Yield columns from which no order can be read, each with a sentence that says why."""
    for column in (column for column in table.columns if not column.random):
        cells = [row.cells[column.key].value for row in table.systems]
        values = [value for value in cells if value is not None]
        p = recordings[column.key].p_value if column.key in recordings else None
        if values and p is not None and p > ALPHA:
            yield (
                column.key,
                f"{column.label}: no order can be read. Its network does not fit these sounds: it "
                "finds that the recordings match their own captions no better than others' "
                f"(permutation p {figure(p, 3)}).",
            )
            continue
        apart = _find_halves(column, table)
        # Every system is nearer to the recordings than the recordings are to each other.
        if apart is not None and values and max(_sign(column) * v for v in values) < apart:
            yield (
                column.key,
                f"{column.label}: no order can be read. Two halves of the recordings are further "
                f"apart ({figure(apart, column.digits)}) than any system is from all of them; more "
                "clips would tell.",
            )


def _find_halves(column: Column, table: Table) -> float | None:
    """Return how far two halves of the recordings are apart in a column that compares sets."""
    for row in table.rows:
        if row.is_sanity and row.system == HALVES:
            cell = row.cells[column.key]
            # A distance of halves has a note that says so; the score of all recordings has none.
            return cell.value if cell.reason else None
    return None


def _name_unranked(table: Table) -> Iterator[str]:
    """A sentence on the columns of networks with random weights."""
    if labels := [column.label for column in table.columns if column.random]:
        yield f"Not ranked: {', '.join(labels)} (heard by networks with random weights)."


def _write_sentences(rows_by_column: dict[str, list[str]], what: str, why: str) -> Iterator[str]:
    """One sentence for all columns in which the same rows are meant."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for column, meant in rows_by_column.items():
        if meant:
            alike.setdefault(tuple(meant), []).append(column)
    for rows, columns in alike.items():
        yield f"{what}: {', '.join(columns)} of {', '.join(rows)} ({why})."
