"""The sections of the table itself, and of the clips that failed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.figures import NOTHING, figure, interval
from harness.marks import WORSE, Mark, Marks, legend
from harness.metrics_file import DependenceRecord, MetricsFile
from harness.page import Grid, Head, Line, Printed, Section
from harness.table import (
    CAVEAT,
    DOUBTFUL,
    FITS,
    NOT_MEASURED,
    Cell,
    Column,
    Fit,
    Row,
    Table,
)

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
        *(f"{CAVEAT} {row.label}: {row.caveat}" for row in table.rows if row.caveat),
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
    label = f"{row.label} {CAVEAT}" if row.caveat else row.label
    return Line((Printed(label, name), Printed(f"{row.n}{of}"), *cells), quiet=sanity)


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


def dependences(metrics: MetricsFile, table: Table) -> Section | None:
    """Whether outputs depend on their inputs, for every system; None where nothing was tested."""
    labels = {row.system: row.label for row in table.rows if row.paradigm != "sanity"}
    systems = {name: one for name, one in metrics.systems.items() if one.input_dependence}
    columns = [c for c in FITS if any(c in one.input_dependence for one in systems.values())]
    if not columns:
        return None
    heads = [Head("System"), Head("clips")]
    for column in columns:
        heads += [Head(text, column) for text in (FITS[column].own, FITS[column].others, "p")]
    lines: list[Line] = []
    untested: dict[str, list[str]] = defaultdict(list)
    for name, record in systems.items():
        tests = {column: record.input_dependence.get(column) for column in columns}
        label, n = labels.get(name, name), max(test.n for test in tests.values() if test)
        cells = [cell for column, test in tests.items() for cell in _tested(test, FITS[column])]
        lines.append(Line((Printed(label), Printed(str(n)), *cells)))
        for column, test in tests.items():
            if test and test.reason:
                untested[f"{FITS[column].own} not tested, {test.reason}"].append(label)
    points = tuple(f"{what}: {', '.join(who)}" for what, who in untested.items())
    text = (
        "Each output against its own clip, and against clips of other events; p by random "
        "permutations of the clips, one-sided. Outputs made without the inputs have a p above "
        f"{figure(DOUBTFUL, 2)} in 95 of 100 runs; of two tests the smaller p counts twice.",
    )
    grid = Grid(tuple(heads), tuple(lines))
    return Section("Does the output depend on the input?", text, grid, points)


def _tested(test: DependenceRecord | None, fit: Fit) -> list[Printed]:
    """Mean fit to own clips, to others', and p."""
    if test is None or test.p_value is None:
        return [Printed(NOTHING)] * 3
    means = [Printed(figure(value or 0.0, fit.digits)) for value in (test.own, test.others)]
    return [*means, Printed(figure(test.p_value, 3))]


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
