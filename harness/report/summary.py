"""What `stabench run` prints at its end: one table that fits, the findings in words, what to read.

The whole report is in report.md; `stabench report` prints it.
"""

from collections.abc import Iterator

from stabench.harness.formatting import NOTHING, counted, figure
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.report.condition_section import describe_conditions
from stabench.harness.report.method import lead, notes
from stabench.harness.report.ranking import SHARE, Marks, explain_trained
from stabench.harness.report.sections import judge, list_compared
from stabench.harness.report.table import CAVEAT, Row, Table
from stabench.harness.runs.results import Results
from stabench.harness.suites.trained_on import TRAINED
from stabench.harness.tasks.task import REAL_TIME, TOTAL

MOST_NOTES = 2
# Clips below which columns of quality are not put in an order.
LEAST_FOR_ORDER = 30
# Columns of a log or a file, which have no width of their own: the pocket's table fits.
WIDTH = 100


def summarize(results: Results, table: Table, marks: Marks) -> Page:
    """Return the page: the systems with what was measured, three to five findings, what next."""
    title = "Scores"
    if results.run:
        title = results.run.suite.title or results.run.suite.name
    findings = (
        *marks.doubts,
        *notes(results)[:MOST_NOTES],
        *(f"{CAVEAT} {row.label}: {row.caveat}" for row in table.systems if row.caveat),
        *explain_trained(table),
        *_compare_paradigms(results, table),
        *_explain_propagation(results, table),
        *(
            f"{row.label}: {row.failed} of {counted(row.n + row.failed, 'clip')} failed; report.md "
            "says why."
            for row in table.systems
            if row.failed
        ),
    )
    folder = results.folder
    following = (
        f"{folder / 'report.md'}: every number with its interval, stages, provenance",
        f"stabench report {folder}: the same here, and report.html with every clip's sound",
    )
    return Page(
        title,
        lead(results),
        (
            Section("summary", "Results", grid=_make_grid(table, marks)),
            *filter(None, [describe_conditions(results, table, brief=True)]),
            Section("findings", "Findings", points=findings),
            Section("next", "Next", points=following),
        ),
    )


def _make_grid(table: Table, marks: Marks) -> Grid:
    """Return the systems' values, without intervals; columns that nobody has are left out.

    With a total, of the phases only the first is shown beside it: those after it are the rest.
    """
    measured = [
        column
        for column in table.columns
        if any(row.cells[column.key].value is not None for row in table.systems)
    ]
    hidden = {SHARE, REAL_TIME.key}
    if any(column.key == TOTAL.key for column in measured):
        hidden |= {phase.column.key for phase in table.task.phases[1:]}
    columns = [column for column in measured if column.key not in hidden]
    heads = (Head("System"), *(Head(column.title, column.block) for column in columns))
    lines = []
    for row in table.systems:
        cells = [Printed(f"{row.label} {CAVEAT}" if row.caveat else row.label)]
        for column in columns:
            value, mark = row.cells[column.key].value, marks.of(row, column.key)
            text = NOTHING if value is None else figure(value, column.digits)
            sign = TRAINED if mark.trained and value is not None else ""
            cells.append(Printed(f"{text}{sign}", strong=mark.best))
        lines.append(Line(tuple(cells)))
    return Grid(heads, tuple(lines))


def _compare_paradigms(results: Results, table: Table) -> Iterator[str]:
    """Yield how the first systems of the first two paradigms that compete differ."""
    rivals = []
    for paradigm in table.task.paradigms:
        if paradigm not in table.task.told:
            rivals += [row for row in table.systems if row.paradigm == paradigm][:1]
    if len(rivals) < 2:
        return
    first, second = rivals[:2]
    yield from _compare_times(results, table, first, second)
    yield from _compare_quality(results, table, first, second)


def _compare_times(results: Results, table: Table, first: Row, second: Row) -> Iterator[str]:
    for timing in results.timings:
        column = timing.column
        # The total says in one number what the later phases add, and so does the factor.
        if column not in (table.task.phases[0].column, TOTAL):
            continue
        ratio = results.latency_ratio(first.system, second.system, timing.name)
        if ratio.value is None or ratio.low is None or ratio.high is None:
            continue
        ends = f"[{figure(ratio.low, 2)}, {figure(ratio.high, 2)}]"
        what = f"{column.label} of {first.label} takes {figure(ratio.value, 2)} times as long as"
        differs = "" if ratio.low > 1 or ratio.high < 1 else ": no difference is shown"
        yield f"{what} that of {second.label} {ends}{differs}."


def _compare_quality(results: Results, table: Table, first: Row, second: Row) -> Iterator[str]:
    """Yield which columns of quality put one ahead: their paired interval excludes 0."""
    if min(first.n, second.n) < LEAST_FOR_ORDER:
        yield f"With {counted(first.n, 'clip')} the columns of quality show no order."
        return
    ahead = _find_ahead(results, table, first, second)
    parts = [
        f"{row.label} is ahead in {', '.join(ahead[row.system])}"
        for row in (first, second)
        if row.system in ahead
    ]
    if "" in ahead:
        parts.append(f"not separated: {', '.join(ahead[''])}")
    if parts:
        yield f"{'; '.join(parts)} (paired on the same clips, p adjusted)."


def _find_ahead(results: Results, table: Table, a: Row, b: Row) -> dict[str, list[str]]:
    """Return the labels of the columns in which each of two systems is ahead; of "" neither.

    By the ticks and crosses of the table of paired differences.
    """
    columns = {column.key: column for column in list_compared(results.judged, table)}
    ahead: dict[str, list[str]] = {}
    for record in results.judged:
        column = columns.get(record.column)
        if {record.a, record.b} != {a.system, b.system} or column is None:
            continue
        if record.difference.low is not None:
            sides = {"✓": record.a, "✗": record.b}
            side = sides.get(judge(record.difference, column), "")
            ahead.setdefault(side, []).append(column.label)
    return ahead


def _explain_propagation(results: Results, table: Table) -> Iterator[str]:
    """Yield in which columns recognition errors cost something, for the first cascade."""
    pairs = []
    for paradigm in table.task.propagation or ():
        pairs += [row for row in table.systems if row.paradigm == paradigm][:1]
    if len(pairs) < 2:
        return
    told, heard = pairs
    if min(told.n, heard.n) < LEAST_FOR_ORDER:
        return
    costs = _find_ahead(results, table, told, heard).get(told.system)
    if costs:
        yield (
            f"What {heard.label} mishears costs {', '.join(costs)}: there {told.label}, the same "
            "model on the true caption, is ahead."
        )
