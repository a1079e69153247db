"""The sections of the table itself, and of the clips that failed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.figures import NOTHING, interval
from harness.marks import WORSE, Mark, Marks, legend
from harness.metrics_file import MetricsFile
from harness.page import Grid, Head, Line, Printed, Section
from harness.table import NOT_MEASURED, Cell, Column, Row, Table

GROUPS = {
    "cascade": "Cascade",
    "end-to-end": "End to end",
    "oracle": "Oracle",
    "unstated": "Systems",
    "sanity": "Sanity rows",
}
MOST_FAILURES = 5
"""Failed clips named for each system."""


def results(table: Table, marks: Marks) -> Section:
    """The paper's table, with intervals and marks, and why some of it is missing."""
    heads = [Head("System"), Head("clips"), *(Head(c.title, c.block) for c in table.columns)]
    lines = []
    for paradigm, label in GROUPS.items():
        group = [row for row in table.rows if row.paradigm == paradigm]
        lines += [Line(heading=label)] if group else []
        lines += [_line(row, table.columns, marks) for row in group]
    text = (
        "Each value with its 95 % interval over clips; times are mean ± standard deviation, with "
        "the interval of the mean. ↓ lower is better, ↑ higher is better; "
        f"{NOTHING} not measured, see below.",
    )
    unheard = [column.label for column in table.columns if column.block == "listeners"]
    points = (
        *legend(table, marks),
        *_reasons(table.rows, table.columns),
        f"{', '.join(unheard)}: {NOT_MEASURED}, they need listeners",
    )
    return Section("Results", text, Grid(tuple(heads), tuple(lines)), points)


def _line(row: Row, columns: Sequence[Column], marks: Marks) -> Line:
    sanity = row.paradigm == "sanity"
    name = "" if sanity or row.label == row.system else row.system
    of = f"/{row.n + row.failed}" if row.failed else ""
    cells = [
        _printed(row.cells[column.key], column.digits, marks.of(row, column.key))
        for column in columns
    ]
    return Line((Printed(row.label, name), Printed(f"{row.n}{of}"), *cells), quiet=sanity)


def _printed(cell: Cell, digits: int, mark: Mark) -> Printed:
    if cell.text is None:
        return Printed(NOT_MEASURED if cell.reason == NOT_MEASURED else NOTHING)
    ends = interval(cell.low, cell.high, digits)
    under = ends if cell.p_value is None else f"{ends} {_p(cell.p_value)}"
    return Printed(f"{cell.text}{WORSE if mark.worse else ''}", under, strong=mark.best)


def _p(p_value: float) -> str:
    """A permutation's p: three decimals, as 1,000 permutations allow."""
    return "p < 0.002" if p_value < 0.002 else f"p {p_value:.3f}"


def _reasons(rows: Sequence[Row], columns: Sequence[Column]) -> Iterable[str]:
    """One point for each reason: which columns of which rows it explains."""
    systems = [index for index, row in enumerate(rows) if row.paradigm != "sanity"]
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        for column in columns:
            reason = row.cells[column.key].reason
            if reason and reason != NOT_MEASURED:
                found[reason][index].append(column.label)
    for reason, by_row in found.items():
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, names in by_row.items():
            alike[tuple(names)].append(index)
        for names, places in alike.items():
            every = len(systems) > 2 and places == systems
            whose = "every system" if every else ", ".join(rows[index].label for index in places)
            yield f"{', '.join(names)} of {whose}: {reason}"


def failures(metrics: MetricsFile) -> Section | None:
    """Which clips failed, and why: the first few of each system."""
    points = []
    for name, record in metrics.systems.items():
        first = list(record.failures.items())[:MOST_FAILURES]
        points += [f"{name}, clip {clip}: {reason}" for clip, reason in first]
        left = len(record.failures) - len(first)
        points += [f"{name}: {left} more, see metrics.json"] if left else []
    for clip, reason in list(metrics.references.failures.items())[:MOST_FAILURES]:
        points.append(f"recording of clip {clip}: {reason}")
    return Section("Failed clips", points=tuple(points)) if points else None
