"""The sections of the table itself, and of the clips that failed."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite, nan

from stabench.harness.formatting import NOTHING, decimals, figure, interval, is_zero
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.ranking import WORSE, Mark, Marks, legend
from stabench.harness.report.table import CAVEAT, DOUBTFUL, FITS, Fit, Row, Table, value_text
from stabench.harness.runs.metrics_file import (
    ColumnRecord,
    DependenceRecord,
    DifferenceRecord,
    MetricsFile,
    SystemRecord,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import NOT_MEASURED, Column, heading

MOST_FAILURES = 5
"""Failed clips named for each system."""


def results(table: Table, marks: Marks) -> Section:
    """The paper's table, with intervals and marks, and why some of it is missing."""
    heads = [Head("System"), Head("clips"), *(Head(c.title, c.block) for c in table.columns)]
    lines = []
    for paradigm in table.task.groups:
        group = [row for row in table.rows if row.paradigm == paradigm]
        lines += [Line(heading=heading(paradigm))] if group else []
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
        _printed(row.cells[column.key], column, marks.of(row, column.key)) for column in columns
    ]
    label = f"{row.label} {CAVEAT}" if row.caveat else row.label
    return Line((Printed(label, name), Printed(f"{row.n}{of}"), *cells), quiet=sanity)


def _printed(cell: Estimate, column: Column, mark: Mark) -> Printed:
    if cell.value is None:
        return Printed(NOT_MEASURED if cell.reason == NOT_MEASURED else NOTHING)
    ends = interval(cell.low, cell.high, column.digits)
    under = ends if cell.p_value is None else f"{ends} {_p(cell.p_value)}"
    text = value_text(cell, column)
    return Printed(f"{text}{WORSE if mark.worse else ''}", under, strong=mark.best)


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
        for index, labels in by_row.items():
            alike[tuple(labels)].append(index)
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


def differences(paired: Sequence[DifferenceRecord], table: Table) -> Section | None:
    """System minus system on the same clips; error propagation is oracle minus cascade.

    None where no difference was measured: why not stands under the results.
    """
    if all(record.difference.value is None for record in paired):
        return None
    columns = [c for c in table.columns if any(d.column == c.key for d in paired)]
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]] = defaultdict(dict)
    for record in paired:
        pairs[record.a, record.b][record.column] = record
    heads = [Head("Pair"), Head("clips"), *(Head(c.title, "quality") for c in columns)]
    columns = [column._replace(digits=_digits(paired, column)) for column in columns]
    lines = [_difference(pair, found, columns) for pair, found in pairs.items()]
    text = (
        "The first system minus the second, on the clips that both have; the same resamples of "
        "clips serve both. ✓ the first is better, ✗ it is worse: the interval excludes 0. The "
        "intervals are not widened for their number.",
        *_propagation(table, pairs, columns),
    )
    return Section("Paired differences", text, Grid(tuple(heads), tuple(lines)))


def _digits(paired: Sequence[DifferenceRecord], column: Column) -> int:
    """Digits that show the narrowest interval, at least the column's own."""
    found = [one for one in paired if one.column == column.key]
    ends = [(one.difference.low, one.difference.high) for one in found]
    widths = [high - low for low, high in ends if high is not None and low is not None]
    return max(column.digits, decimals(widths, least_figures=1))


def _difference(
    pair: tuple[str, str], found: dict[str, DifferenceRecord], columns: Sequence[Column]
) -> Line:
    numbers = [found[column.key].difference for column in columns if column.key in found]
    counts = sorted({number.n for number in numbers if number.value is not None})
    n = " to ".join(str(count) for count in {counts[0]: 0, counts[-1]: 0}) if counts else NOTHING
    cells = [
        _signed(found[c.key].difference, c) if c.key in found else Printed("") for c in columns
    ]
    return Line((Printed(f"{pair[0]} \N{MINUS SIGN} {pair[1]}"), Printed(n), *cells))


def _signed(number: Estimate, column: Column) -> Printed:
    if number.value is None:
        return Printed(NOTHING, number.reason or "")
    value = ("+" if number.value > 0 else "") + figure(number.value, column.digits)
    verdict = _verdict(number, column)
    ends = interval(number.low, number.high, column.digits)
    return Printed(f"{value} {verdict}".strip(), ends, strong=bool(verdict))


def _verdict(number: Estimate, column: Column) -> str:
    """A tick when the first system is better, a cross when it is worse, nothing when open.

    Networks with random weights judge nothing.
    """
    if number.low is None or number.high is None or number.low <= 0 <= number.high:
        return ""
    if column.random:
        return ""
    if is_zero(number.low, number.high, column.digits):
        return ""
    return "✓" if (number.low > 0) == (column.better == "higher") else "✗"


def _propagation(
    table: Table,
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]],
    columns: Sequence[Column],
) -> Iterable[str]:
    """What the recogniser costs: the same generator on the true caption and on the transcript."""
    by_name = {row.system: row for row in table.rows if row.paradigm != "sanity"}
    errors = next((column for column in table.columns if column.key == "wer"), None)
    for (a, b), found in pairs.items():
        kinds = [by_name[name].paradigm for name in (a, b) if name in by_name]
        if kinds != ["oracle", "cascade"]:
            continue
        wer = by_name[b].cells.get("wer")
        heard = (
            f" (word error rate {_inline(wer, errors)})"
            if errors and wer and wer.value is not None
            else ""
        )
        costs = [_cost(found[column.key].difference, column) for column in columns]
        costs = [cost for cost in costs if cost]
        yield (
            f"Error propagation: {a} minus {b} is what the recogniser{heard} costs: "
            f"{', '.join(costs) or 'not measured'}."
        )


def _cost(number: Estimate, column: Column) -> str:
    if number.value is None:
        return ""
    value = ("+" if number.value > 0 else "") + figure(number.value, column.digits)
    return f"{column.label} {value} {interval(number.low, number.high, column.digits)}".strip()


def _inline(cell: Estimate, column: Column) -> str:
    return f"{value_text(cell, column)} {interval(cell.low, cell.high, column.digits)}".strip()


JUDGES = ("kl", "clap")
"""Columns by which clips are ranked, as far as they were measured."""
SHOWN = 5
FEWEST = 4 * SHOWN
"""With fewer clips there is nothing to choose."""


def extremes(
    metrics: MetricsFile, captions: Mapping[str, str], random: Collection[str] = ()
) -> Section | None:
    """The best and worst clips of each system by each judge, with their captions where known.

    `random` are systems on random weights: they have no quality.
    """
    lines: list[Line] = []
    judges = [column for column in JUDGES if column in metrics.columns]
    for system in (one for name, one in metrics.systems.items() if name not in random):
        for column in judges:
            ranked = _ranked(system, column, metrics.columns[column])
            if len(ranked) >= FEWEST:
                lines.append(Line(heading=f"{system.label}, by {metrics.columns[column].label}"))
                lines += _lines("best", ranked[:SHOWN], system, judges, metrics, captions)
                lines += _lines(
                    "worst", ranked[: -SHOWN - 1 : -1], system, judges, metrics, captions
                )
    if not lines:
        return None
    heads = ("", "Clip", *(metrics.columns[column].label for column in judges), "Caption")
    text = ("The clips to listen to first; all of them are in clips.parquet.",)
    return Section(
        "Best and worst clips", text, Grid(tuple(map(Head, heads)), tuple(lines)), only="markdown"
    )


def _ranked(system: SystemRecord, column: str, about: ColumnRecord) -> list[str]:
    """Clips, the best first; equal ones by id."""
    values = {
        clip: found[column]
        for clip, found in system.per_clip.items()
        if isfinite(found.get(column, nan))
    }
    sign = -1 if about.better == "higher" else 1
    return sorted(values, key=lambda clip: (sign * values[clip], clip))


def _lines(
    which: str,
    clips: Sequence[str],
    system: SystemRecord,
    judges: Sequence[str],
    metrics: MetricsFile,
    captions: Mapping[str, str],
) -> list[Line]:
    lines = []
    for clip in clips:
        found = system.per_clip[clip]
        numbers = [
            figure(found[column], metrics.columns[column].digits)
            if isfinite(found.get(column, nan))
            else ""
            for column in judges
        ]
        cells = (which, clip, *numbers, captions.get(clip, ""))
        lines.append(Line(tuple(map(Printed, cells))))
    return lines
