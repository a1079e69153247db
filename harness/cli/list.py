"""What `stabench list` prints: names and registry strings, importing nothing that they name."""

import sys
from typing import TextIO

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.registry import Entry
from stabench.metrics.registry import METRICS

KINDS = ("tasks", "systems", "suites", "datasets", "embedders", "protocols", "metrics")


def listing(kind: str | None) -> dict[str, list[Entry]]:
    """Return the entries of one kind, or of all. Raises StabenchError for another word."""
    if kind is not None and kind not in KINDS:
        raise StabenchError(unknown("list", kind, KINDS))
    lists: dict[str, list[Entry]] = {}
    for name in [kind] if kind else KINDS:
        if name == "metrics":  # they have no registry string: what they are says more
            lists[name] = [
                Entry(
                    metric.name,
                    f"{metric.label}, {metric.better} is better; needs {', '.join(metric.needs)}",
                    "built in",
                )
                for metric in METRICS.values()
            ]
        else:
            lists[name] = list(registry.entries(name).values())
    return lists


def show(lists: dict[str, list[Entry]], stream: TextIO | None = None) -> None:
    """Print a table of each list on a terminal, aligned lines elsewhere."""
    stream = stream or sys.stdout
    if stream.isatty():
        _show_tables(lists, stream)
        return
    for kind, entries in lists.items():
        print(kind, file=stream)
        width = max((len(entry.name) for entry in entries), default=0)
        for name, target, source in entries:
            print(f"  {name:{width}}  {target}  ({source})", file=stream)


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
