"""Table 2 as the page shows it: what is printed, what a hover says, what a column is sorted by."""

from typing import NamedTuple

from stabench.harness.formatting import counted, figure
from stabench.harness.render.page import Head, Printed, Section
from stabench.harness.report.table import Row, Table
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import Column

KEYS = 2
"""Columns before the numbers: the system, its clips."""


class Shown(NamedTuple):
    """One number: printed as in every format, with the sentence `said` of its interval."""

    printed: Printed
    value: float | None
    said: str


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
    """The section, with its cells as `Shown`."""

    section: Section
    heads: tuple[Head, ...]
    blocks: tuple[Block, ...]
    better: tuple[str, ...]
    groups: tuple[Group, ...]
    points: tuple[str, ...]


def results_table(table: Table, section: Section) -> ResultsTable:
    """The grid of the report's first section, its lines set beside the rows they print."""
    rows, grid = iter(table.rows), section.grid
    assert grid is not None
    groups: list[Group] = []
    for line in grid.lines:
        if line.heading:
            groups.append(Group(line.heading, False, ()))
        else:
            own = _line(next(rows), line.cells, table.columns)
            last = groups[-1]
            groups[-1] = last._replace(quiet=line.quiet, lines=(*last.lines, own))
    return ResultsTable(
        section,
        grid.heads,
        _blocks(table.columns),
        tuple(column.better for column in table.columns),
        tuple(groups),
        section.points,
    )


def _blocks(columns: tuple[Column, ...]) -> tuple[Block, ...]:
    found: list[Block] = []
    for column in columns:
        if found and found[-1].name == column.block:
            found[-1] = Block(column.block, found[-1].columns + 1)
        else:
            found.append(Block(column.block, 1))
    return tuple(found)


def _line(row: Row, printed: tuple[Printed, ...], columns: tuple[Column, ...]) -> Line:
    cells = (
        Shown(shown, cell.value, _said(cell, column))
        for column, shown in zip(columns, printed[KEYS:], strict=True)
        for cell in (row.cells[column.key],)
    )
    return Line(printed[0], printed[1].main, row.n, row.failed, tuple(cells))


def _said(cell: Estimate, column: Column) -> str:
    """The whole truth of a cell in one sentence."""
    if cell.value is None:
        return f"{column.label}: {cell.reason}" if cell.reason else f"{column.label}: none"
    unit = f" {column.unit}" if column.unit else ""
    text = f"{column.label} {figure(cell.value, column.digits)}{unit}"
    if cell.low is not None and cell.high is not None:
        ends = f"{figure(cell.low, column.digits)} to {figure(cell.high, column.digits)}"
        text += f", 95 % interval {ends}"
    text += f", {counted(cell.n, 'clip')}"
    return f"{text}; {cell.reason}" if cell.reason else text
