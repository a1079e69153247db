"""Table 2 as the page shows it: what is printed, what a hover says, what a column is sorted by."""

from itertools import groupby, islice
from typing import NamedTuple

from stabench.harness.formatting import counted, figure
from stabench.harness.render.page import Head, Printed, Section
from stabench.harness.report.sections import group_rows
from stabench.harness.report.table import Table
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import Column


class Shown(NamedTuple):
    """One number: printed as in every format, and in one `sentence` with its interval."""

    printed: Printed
    value: float | None
    sentence: str


class Line(NamedTuple):
    """One row; `failed` clips lie behind a link."""

    label: Printed
    clips: str
    n: int
    failed: int
    cells: tuple[Shown, ...]


class Group(NamedTuple):
    """Rows under one heading; sanity rows recede."""

    heading: str
    quiet: bool
    lines: tuple[Line, ...]


class Block(NamedTuple):
    """Neighbouring columns of one kind, with their number."""

    name: str
    columns: int


class ResultsTable(NamedTuple):
    """The section of the results, with the cells of its grid as `Shown`.

    `empty` says of each column whether no row has a value in it.
    """

    section: Section
    heads: tuple[Head, ...]
    blocks: tuple[Block, ...]
    better: tuple[str, ...]
    empty: tuple[bool, ...]
    groups: tuple[Group, ...]


def tabulate_results(table: Table, section: Section) -> ResultsTable:
    """Return the grid of the results, its lines beside the rows that they print.

    `section` is made of the same `table` (report/sections.py), so that each line has its row.
    """
    assert section.grid is not None
    printed = [line.cells for line in section.grid.lines if not line.heading]
    rows = [row for group in group_rows(table) for row in group.rows]
    lines = []
    for row, (label, clips, *numbers) in zip(rows, printed, strict=True):
        cells = [(column, row.cells[column.key]) for column in table.columns]
        shown = tuple(
            Shown(number, cell.value, _describe_cell(cell, column))
            for (column, cell), number in zip(cells, numbers, strict=True)
        )
        lines.append(Line(label, clips.main, row.n, row.failed, shown))
    # The lines of all groups follow one another: each group takes its own off the front.
    rest = iter(lines)
    groups = [
        # Sanity rows are no competitors.
        Group(heading, members[0].is_sanity, tuple(islice(rest, len(members))))
        for heading, members in group_rows(table)
    ]
    blocks = [
        Block(name, len(list(columns)))
        for name, columns in groupby(table.columns, key=lambda column: column.block)
    ]
    return ResultsTable(
        section,
        section.grid.heads,
        tuple(blocks),
        tuple(column.better for column in table.columns),
        tuple(
            all(row.cells[column.key].value is None for row in table.rows)
            for column in table.columns
        ),
        tuple(groups),
    )


def _describe_cell(cell: Estimate, column: Column) -> str:
    """Return the whole truth of a cell in one sentence."""
    if cell.value is None:
        return f"{column.label}: {cell.reason}" if cell.reason else f"{column.label}: none"
    unit = f" {column.unit}" if column.unit else ""
    text = f"{column.label} {figure(cell.value, column.digits)}{unit}"
    if cell.low is not None and cell.high is not None:
        ends = f"{figure(cell.low, column.digits)} to {figure(cell.high, column.digits)}"
        text += f", 95 % interval {ends}"
    text += f", {counted(cell.n, 'clip')}"
    return f"{text}; {cell.reason}" if cell.reason else text
