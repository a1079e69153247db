"""What `stabench run` prints at its end: one table that fits, the findings in words, what to read.

The whole report is in report.md; `stabench report` prints it.
"""

from collections.abc import Iterator

from stabench.harness.formatting import NOTHING, counted, figure
from stabench.harness.render.page import Grid, Head, Line, Page, Printed, Section
from stabench.harness.report.method import lead, notes
from stabench.harness.report.ranking import Marks
from stabench.harness.report.table import CAVEAT, Row, Table
from stabench.harness.runs.results import Results
from stabench.harness.tasks.task import Column

MOST_NOTES = 2


def summarize(results: Results, table: Table, marks: Marks) -> Page:
    """Return the page: the systems with what was measured, three to five findings, what next."""
    title = "Scores"
    if results.run:
        title = results.run.suite.title or results.run.suite.name
    findings = (
        *(f"{CAVEAT} {row.label}: {row.caveat}" for row in table.systems if row.caveat),
        *_compare_paradigms(results, table),
        *_count_failures(table),
        *notes(results)[:MOST_NOTES],
    )
    return Page(
        title,
        lead(results),
        (
            Section("summary", "Results", grid=_make_grid(table, marks)),
            Section("findings", "Findings", points=findings),
            Section("next", "Next", points=_list_next(results)),
        ),
    )


def _make_grid(table: Table, marks: Marks) -> Grid:
    """Return the systems' values, without intervals; columns that nobody has are left out."""
    columns = [
        column
        for column in table.columns
        if any(row.cells[column.key].value is not None for row in table.systems)
    ]
    heads = (Head("System"), *(Head(column.title, column.block) for column in columns))
    lines = [
        Line(
            (
                Printed(f"{row.label} {CAVEAT}" if row.caveat else row.label),
                *(_print_value(row, column, marks) for column in columns),
            )
        )
        for row in table.systems
    ]
    return Grid(heads, tuple(lines))


def _print_value(row: Row, column: Column, marks: Marks) -> Printed:
    cell, mark = row.cells[column.key], marks.of(row, column.key)
    if cell.value is None:
        return Printed(NOTHING)
    return Printed(figure(cell.value, column.digits), strong=mark.best)


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
    for phase, column, _ in table.task.phases:
        ratio = results.latency_ratio(first.system, second.system, phase)
        if ratio.value is None or ratio.low is None or ratio.high is None:
            continue
        ends = f"[{figure(ratio.low, 2)}, {figure(ratio.high, 2)}]"
        what = f"{column.label} of {first.label} takes {figure(ratio.value, 2)} times as long as"
        differs = "" if ratio.low > 1 or ratio.high < 1 else ": no difference is shown"
        yield f"{what} that of {second.label} {ends}{differs}."


def _compare_quality(results: Results, table: Table, first: Row, second: Row) -> Iterator[str]:
    """Yield which columns of quality put one ahead: their paired interval excludes 0."""
    labels = {column.key: column for column in table.columns}
    ahead: dict[str, list[str]] = {first.label: [], second.label: []}
    open_ = []
    for record in results.paired:
        column = labels.get(record.column)
        if {record.a, record.b} != {first.system, second.system} or column is None:
            continue
        difference = record.difference
        if difference.value is None or difference.low is None or difference.high is None:
            continue
        if difference.low <= 0 <= difference.high or column.random:
            open_.append(column.label)
            continue
        better = record.a if (difference.low > 0) == (column.better == "higher") else record.b
        ahead[first.label if better == first.system else second.label].append(column.label)
    parts = [f"{label} is ahead in {', '.join(names)}" for label, names in ahead.items() if names]
    if open_:
        parts.append(f"not separated: {', '.join(open_)}")
    if parts:
        yield f"{'; '.join(parts)} (paired on the same clips, 95 % intervals)."


def _count_failures(table: Table) -> Iterator[str]:
    for row in table.systems:
        if row.failed:
            total = counted(row.n + row.failed, "clip")
            yield f"{row.label}: {row.failed} of {total} failed; report.md says why."


def _list_next(results: Results) -> tuple[str, ...]:
    folder = results.folder
    return (
        f"{folder / 'report.md'}: every number with its interval, stages, provenance",
        f"stabench report {folder}: the same here, and report.html with every clip's sound",
    )
