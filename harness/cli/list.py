"""What `stabench list` prints: names and registry strings, importing nothing that they name."""

import sys
from typing import TextIO

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.registry import Entry
from stabench.metrics.registry import METRICS, Metric

KINDS = ("tasks", "systems", "suites", "datasets", "embedders", "protocols", "metrics")


def listing(kind: str | None) -> dict[str, list[Entry]]:
    """The entries of one kind, or of all. Raises StabenchError for another word."""
    if kind is not None and kind not in KINDS:
        raise StabenchError(unknown("list", kind, KINDS))
    return {name: _entries(name) for name in ([kind] if kind else KINDS)}


def show(lists: dict[str, list[Entry]], stream: TextIO | None = None) -> None:
    """A table of each list on a terminal, aligned lines elsewhere."""
    stream = stream or sys.stdout
    if stream.isatty():
        _show_tables(lists, stream)
        return
    for kind, entries in lists.items():
        print(kind, file=stream)
        width = max((len(entry.name) for entry in entries), default=0)
        for name, target, source in entries:
            print(f"  {name:{width}}  {target}  ({source})", file=stream)


def _entries(kind: str) -> list[Entry]:
    if kind == "metrics":
        return [Entry(one.name, _described(one), "built in") for one in METRICS.values()]
    return list(registry.entries(kind).values())


def _described(metric: Metric) -> str:
    return f"{metric.label}, {metric.better} is better; needs {', '.join(metric.needs)}"


def _show_tables(lists: dict[str, list[Entry]], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(file=stream)
    for kind, entries in lists.items():
        table = Table(title=kind, title_justify="left", box=None, header_style="bold")
        for column in ("name", "what" if kind == "metrics" else "where", "source"):
            table.add_column(column, overflow="fold")
        for entry in entries:
            table.add_row(*entry)
        console.print(table)
