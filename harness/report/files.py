"""The table as CSV and as JSON, for programs."""

import csv
import io
from itertools import chain
from typing import Any

from stabench.harness.formatting import plain
from stabench.harness.report.table import Row, Table
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import SANITY, Column

FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet may run when a text cell begins with it."""


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


def _numbers(cell: Estimate, block: str) -> list[float | str | None]:
    sd = [cell.sd] if block == "latency" else []
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
        "rows": [_row(row, table) for row in table.rows if row.paradigm != SANITY],
        "sanity": [_row(row, table) for row in table.rows if row.paradigm == SANITY],
    }


def _row(row: Row, table: Table) -> dict[str, Any]:
    cells = {column.key: _cell(row.cells[column.key], column) for column in table.columns}
    return {**row._asdict(), "cells": cells}


def _cell(cell: Estimate, column: Column) -> dict[str, Any]:
    value = {name: getattr(cell, name) for name in ("value", "low", "high", "n")}
    value |= {"unit": column.unit, "better": column.better}
    value |= {} if cell.sd is None else {"sd": cell.sd}
    value |= {} if cell.p_value is None else {"p_value": cell.p_value}
    return value | ({"reason": cell.reason} if cell.reason else {})
