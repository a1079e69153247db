"""Renderers of files: the page as Markdown, the table as CSV and JSON."""

import csv
import io
from collections.abc import Iterable
from itertools import chain
from typing import Any

from harness.figures import plain
from harness.page import Grid, Page, Printed, Section
from harness.table import Cell, Row, Table

SPECIAL = set("\\`*_{}[]<>|#~$@&")
"""Characters that Markdown (GitHub's) may read as markup."""
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet may run when a text cell begins with it."""


def to_markdown(page: Page) -> str:
    """The page in GitHub's Markdown."""
    blocks = [f"# {_escaped(page.title)}", _escaped(page.lead)]
    for section in page.sections:
        if section.only != "terminal":
            blocks += _markdown(section)
    return "\n\n".join(blocks) + "\n"


def _markdown(section: Section) -> Iterable[str]:
    yield f"## {_escaped(section.title)}"
    yield from map(_escaped, section.text)
    if section.grid:
        yield "\n".join(_markdown_lines(section.grid))
    if section.points:
        yield "\n".join(f"- {_escaped(point)}" for point in section.points)


def _markdown_lines(grid: Grid) -> Iterable[str]:
    yield _bar(_escaped(head.text) for head in grid.heads)
    yield _bar("---:" if head.block else "---" for head in grid.heads)
    for line in grid.lines:
        if line.heading:
            yield _bar([f"**{_escaped(line.heading)}**", *[""] * (len(grid.heads) - 1)])
        else:
            yield _bar(_markdown_cell(cell, line.quiet) for cell in line.cells)


def _markdown_cell(cell: Printed, quiet: bool) -> str:
    mark = "**" if cell.strong else "*" if quiet and cell.main else ""
    under = f"<br><sub>{_escaped(cell.under)}</sub>" if cell.under else ""
    return f"{mark}{_escaped(cell.main)}{mark}{under}"


def _bar(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown prints as it is."""
    return "".join(f"\\{c}" if c in SPECIAL else c for c in plain(text))


def to_csv(table: Table) -> str:
    """A line a row; of each column its value, sd where shown, and the ends of its interval."""
    heads = ["system", "label", "paradigm", "n", "failed"]
    for column in table.columns:
        name = f"{column.key}_{column.unit}" if column.block == "latency" else _safe(column.key)
        sd = [f"{name}_sd"] if column.block == "latency" else []
        heads += [name, *sd, f"{name}_low", f"{name}_high"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        texts = [_safe(text) for text in (row.system, row.label, row.paradigm)]
        numbers = (_numbers(row.cells[column.key], column.block) for column in table.columns)
        writer.writerow([*texts, row.n, row.failed, *chain.from_iterable(numbers)])
    return out.getvalue()


def _numbers(cell: Cell, block: str) -> list[float | str | None]:
    sd = [cell.spread] if block == "latency" else []
    value = cell.reason if cell.value is None and block == "listeners" else cell.value
    return [value, *sd, cell.low, cell.high]


def _safe(text: str) -> str:
    """Text that no spreadsheet runs as a formula."""
    clean = plain(text)
    return f"'{clean}" if clean.lstrip().startswith(FORMULA) else clean


def to_json(table: Table) -> dict[str, Any]:
    """The rows of report.json: systems under `rows`, sanity rows apart."""
    return {
        "columns": [column._asdict() for column in table.columns],
        "rows": [_row(row) for row in table.rows if row.paradigm != "sanity"],
        "sanity": [_row(row) for row in table.rows if row.paradigm == "sanity"],
    }


def _row(row: Row) -> dict[str, Any]:
    return {**row._asdict(), "cells": {key: _json_cell(cell) for key, cell in row.cells.items()}}


def _json_cell(cell: Cell) -> dict[str, Any]:
    value = {name: getattr(cell, name) for name in ("value", "low", "high", "unit", "better", "n")}
    value |= {} if cell.spread is None else {"sd": cell.spread}
    value |= {} if cell.p_value is None else {"p_value": cell.p_value}
    return value | ({"reason": cell.reason} if cell.reason else {})
