"""What `stabench list` prints: names and registry strings, importing nothing of ours.

`stabench list conditions` alone says what each one means, for which it imports them.

What other packages register is tried, so that an entry point that is wrong is said.
"""

import sys
from typing import TextIO

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.registry import Entry
from stabench.metrics.registry import METRICS

KINDS = (
    "tasks",
    "systems",
    "recognisers",
    "generators",
    "suites",
    "datasets",
    "conditions",
    "embedders",
    "protocols",
    "metrics",
    "sanity",
    "encoders",
    "autoencoders",
    "recipes",
    "corpora",
)


def listing(kind: str | None) -> dict[str, list[Entry]]:
    """Return the entries of one kind, or of all. Raises StabenchError for another word."""
    if kind is not None and kind not in KINDS:
        raise StabenchError(unknown("list", kind, KINDS))
    lists: dict[str, list[Entry]] = {}
    for name in [kind] if kind else KINDS:
        entries = registry.entries(name)
        if name == "metrics":  # of ours what they are says more than where they are
            ours = [
                Entry(
                    metric.name,
                    f"{metric.label}, {metric.better} is better; needs {', '.join(metric.needs)}",
                    "built in",
                )
                for metric in METRICS.values()
            ]
            lists[name] = [
                *ours,
                *(entry for entry in entries.values() if entry.name not in METRICS),
            ]
        elif name == kind == "conditions":  # what they mean needs NumPy, which a whole list has not
            lists[name] = [_describe_condition(entry) for entry in entries.values()]
        else:
            lists[name] = list(entries.values())
    return lists


def _describe_condition(entry: Entry) -> Entry:
    """Return how names of a family are written and what they mean; of an outside one its place."""
    if entry.source != "built in":
        return entry
    family = registry.attribute(registry.LOADERS["conditions"])(entry.name)
    about = family.about
    if family.number:
        least, most, unit = family.number
        about += f"; N is {least} to {most} {unit}"
    options = "".join(f"; -{name}: {what}" for name, what in family.options.items())
    return Entry(family.pattern, about + options, entry.source)


def show(lists: dict[str, list[Entry]], stream: TextIO | None = None) -> None:
    """Print a table of each list on a terminal, aligned lines elsewhere.

    Then, on standard error, what is wrong with entry points of these kinds, and of unknown ones.
    Only these load the things of other packages.
    """
    stream = stream or sys.stdout
    _show_lists(lists, stream)
    for fault in registry.faults():
        if fault.kind in lists or fault.kind not in registry.BUILT_IN:
            print(f"stabench: {fault.text}", file=sys.stderr)


def _show_lists(lists: dict[str, list[Entry]], stream: TextIO) -> None:
    if stream.isatty():
        _show_tables(lists, stream)
        return
    for kind, entries in lists.items():
        print(kind, file=stream)
        width = max((len(entry.name) for entry in entries), default=0)
        for name, target, source in entries:
            print(f"  {name:{width}}  {target}  ({source})", file=stream)


def _show_tables(lists: dict[str, list[Entry]], stream: TextIO) -> None:
    # Late: rich takes a quarter of a second, which a pipe need not wait for.
    from rich.console import Console

    from stabench.harness.render.page import Grid, Head, Line, Printed, Section
    from stabench.harness.render.terminal import print_section

    console = Console(file=stream, highlight=False)
    for kind, entries in lists.items():
        names = ("name", "what" if kind in ("metrics", "conditions") else "where", "source")
        lines = tuple(Line(tuple(map(Printed, entry))) for entry in entries)
        print_section(Section(kind, kind, grid=Grid(tuple(map(Head, names)), lines)), console)
