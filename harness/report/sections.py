"""The sections of the table, of paired differences, and of single clips.

Each function returns a section or, where there is nothing to say, None. Its key (render/page.py)
is that by which report.html finds it and links to it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isfinite, nan
from typing import NamedTuple

from stabench.harness.formatting import NOTHING, decimals, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.ranking import TEST, WORSE, Mark, Marks, find_side, legend
from stabench.harness.report.table import CAVEAT, DOUBTFUL, FITS, Fit, Row, Table, value_text
from stabench.harness.runs.metrics_file import (
    DependenceRecord,
    DifferenceRecord,
    MetricsFile,
    SystemRecord,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.permutation import LEAST_UNITS
from stabench.harness.suites.trained_on import TRAINED
from stabench.harness.tasks.task import NOT_MEASURED, Column, heading

# Failed clips named for each system.
MOST_FAILURES = 5


class Group(NamedTuple):
    """Rows of one paradigm under one heading."""

    label: str
    rows: list[Row]


def group_rows(table: Table) -> Iterator[Group]:
    """Yield the rows of the table as it is printed, sanity rows last; no group is empty."""
    for paradigm in table.task.groups:
        rows = [row for row in table.rows if row.paradigm == paradigm]
        if rows:
            yield Group(heading(paradigm), rows)


def describe_results(table: Table, marks: Marks) -> Section:
    """Return the paper's table, with intervals and marks, and why some of it is missing."""
    heads = [Head("System"), Head("clips"), *(Head(c.title, c.block) for c in table.columns)]
    lines: list[Line] = []
    for group in group_rows(table):
        lines.append(Line(heading=group.label))
        for row in group.rows:
            # The short name under a label is what commands take.
            name = "" if row.is_sanity or row.label == row.system else row.system
            label = f"{row.label} {CAVEAT}" if row.caveat else row.label
            planned = f"/{row.n + row.failed}" if row.failed else ""
            numbers = [
                _print_cell(row.cells[column.key], column, marks.of(row, column.key))
                for column in table.columns
            ]
            cells = (Printed(label, name), Printed(f"{row.n}{planned}"), *numbers)
            lines.append(Line(cells, quiet=row.is_sanity))
    text = (
        *marks.doubts,
        "Each value with its 95 % interval over clips; times are mean ± standard deviation, with "
        "the interval of the mean. ↓ lower is better, ↑ higher is better; "
        f"{NOTHING} not measured, see below.",
    )
    # Said in one point instead of one for every system.
    unheard = [column.label for column in table.columns if column.block == "listeners"]
    points = (
        *(f"{CAVEAT} {row.label}: {row.caveat}" for row in table.rows if row.caveat),
        *legend(table, marks),
        *_explain_gaps(table.rows, table.columns),
        f"{', '.join(unheard)}: {NOT_MEASURED}, they need listeners",
    )
    return Section("results", "Results", text, Grid(tuple(heads), tuple(lines)), points)


def _print_cell(cell: Estimate, column: Column, mark: Mark) -> Printed:
    if cell.value is None:
        return Printed(NOT_MEASURED if cell.reason == NOT_MEASURED else NOTHING)
    under = interval(cell.low, cell.high, column.digits)
    if cell.p_value is not None:
        # Three decimals are what 1,000 permutations allow.
        p = "p < 0.002" if cell.p_value < 0.002 else f"p {cell.p_value:.3f}"
        under = f"{under} {p}"
    text = value_text(cell, column)
    notes = f"{WORSE if mark.worse else ''}{TRAINED if mark.trained else ''}"
    return Printed(f"{text}{notes}", under, strong=mark.best)


def _explain_gaps(rows: Sequence[Row], columns: Sequence[Column]) -> Iterable[str]:
    """Yield a point for each reason: which columns of which rows it explains."""
    # Rows by index: two systems may have one label.
    systems = [index for index, row in enumerate(rows) if not row.is_sanity]
    gaps: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for index, row in enumerate(rows):
        for column in columns:
            reason = row.cells[column.key].reason
            if reason and reason != NOT_MEASURED:
                gaps[reason][index].append(column.label)
    for reason, by_row in gaps.items():
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, labels in by_row.items():
            alike[tuple(labels)].append(index)
        for names, places in alike.items():
            # Of two systems the names are as short as the word.
            every = len(systems) > 2 and places == systems
            whose = "every system" if every else ", ".join(rows[index].label for index in places)
            yield f"{', '.join(names)} of {whose}: {reason}"


def describe_dependence(metrics: MetricsFile, table: Table) -> Section | None:
    """Return whether outputs depend on their inputs; None where nothing was tested."""
    labels = table.labels
    systems = {name: record for name, record in metrics.systems.items() if record.input_dependence}
    columns = [
        column
        for column in FITS
        if any(column in record.input_dependence for record in systems.values())
    ]
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
        cells = [cell for column, test in tests.items() for cell in _print_test(test, FITS[column])]
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
    title = "Does the output depend on the input?"
    return Section("dependence", title, text, grid, points)


def _print_test(test: DependenceRecord | None, fit: Fit) -> list[Printed]:
    """Return the mean fit to a system's clips, that to other clips, and p."""
    if test is None or test.p_value is None:
        return [Printed(NOTHING)] * 3
    means = [Printed(figure(value or 0.0, fit.digits)) for value in (test.own, test.others)]
    return [*means, Printed(figure(test.p_value, 3))]


def describe_failures(metrics: MetricsFile, table: Table) -> Section | None:
    """Return which clips failed, and why: the first few of each system."""
    points = []
    for system, record in metrics.systems.items():
        name = table.labels.get(system, system)
        first = list(record.failures.items())[:MOST_FAILURES]
        points += [f"{name}, clip {clip}: {reason}" for clip, reason in first]
        # Never dropped in silence: what is not named is counted.
        left = len(record.failures) - len(first)
        points += [f"{name}: {left} more, see metrics.json"] if left else []
    for clip, reason in list(metrics.references.failures.items())[:MOST_FAILURES]:
        points.append(f"recording of clip {clip}: {reason}")
    return Section("failures", "Failed clips", points=tuple(points)) if points else None


def describe_differences(paired: Sequence[DifferenceRecord], table: Table) -> Section | None:
    """Return system minus system on the same clips; error propagation is oracle minus cascade.

    None where no difference was measured: the results say why not.
    """
    if all(record.difference.value is None for record in paired):
        return None
    columns = list_compared(paired, table)
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]] = defaultdict(dict)
    for record in paired:
        pairs[record.a, record.b][record.column] = record
    heads = [Head("Pair"), Head("clips"), *(Head(c.title, "quality") for c in columns)]
    labels = table.labels
    lines = [
        _print_pair(labels.get(a, a), labels.get(b, b), records, columns)
        for (a, b), records in pairs.items()
    ]
    text = (
        "The first system minus the second, on the clips that both have; the same resamples of "
        f"clips serve both. ✓ the first is better, ✗ it is worse: {TEST}; no mark below "
        f"{LEAST_UNITS} clips.",
        *_explain_propagation(table, pairs, columns),
    )
    return Section("differences", "Paired differences", text, Grid(tuple(heads), tuple(lines)))


def list_compared(paired: Sequence[DifferenceRecord], table: Table) -> list[Column]:
    """Return the table's columns that have paired differences, with the decimals of those."""
    columns = []
    for column in table.columns:
        numbers = [record.difference for record in paired if record.column == column.key]
        if numbers:
            # A difference may need more digits than its values: as many as show its narrowest
            # interval.
            widths = [n.high - n.low for n in numbers if n.high is not None and n.low is not None]
            digits = max(column.digits, decimals(widths, least_figures=1))
            columns.append(column._replace(digits=digits))
    return columns


def count_separated(paired: Sequence[DifferenceRecord], table: Table) -> dict[str, int]:
    """Return by column how many pairs of systems it tells apart: those that have ✓ or ✗."""
    return {
        column.key: sum(
            bool(judge(record.difference, column))
            for record in paired
            if record.column == column.key
        )
        for column in list_compared(paired, table)
    }


def _print_pair(
    a: str, b: str, records: dict[str, DifferenceRecord], columns: Sequence[Column]
) -> Line:
    numbers = [records[column.key].difference for column in columns if column.key in records]
    counts = sorted({number.n for number in numbers if number.value is not None})
    # A dict keeps the order and drops the second of two equal counts.
    n = " to ".join(str(count) for count in {counts[0]: 0, counts[-1]: 0}) if counts else NOTHING
    cells = []
    for column in columns:
        number = records[column.key].difference if column.key in records else None
        if number is None:
            cells.append(Printed(""))
        elif number.value is None:
            cells.append(Printed(NOTHING, number.reason or ""))
        else:
            value, verdict = _sign(number.value, column), judge(number, column)
            ends = interval(number.low, number.high, column.digits) or number.reason or ""
            cells.append(Printed(f"{value} {verdict}".strip(), ends, strong=bool(verdict)))
    # A word: labels may hold a plus or a dash.
    return Line((Printed(f"{a} minus {b}"), Printed(n), *cells))


def _sign(value: float, column: Column) -> str:
    return ("+" if value > 0 else "") + figure(value, column.digits)


def judge(number: Estimate, column: Column) -> str:
    """Return a tick when the first system is better, a cross when it is worse, "" when open."""
    side = find_side(number, column)
    return ("✓" if (side > 0) == (column.better == "higher") else "✗") if side else ""


def _explain_propagation(
    table: Table,
    pairs: dict[tuple[str, str], dict[str, DifferenceRecord]],
    columns: Sequence[Column],
) -> Iterable[str]:
    """Yield what the recogniser costs: one generator on the true caption and the transcript."""
    by_name, labels = {row.system: row for row in table.systems}, table.labels
    errors = next((column for column in table.columns if column.key == "wer"), None)
    for (a, b), records in pairs.items():
        kinds = [by_name[name].paradigm for name in (a, b) if name in by_name]
        # Not the other way round: costs would read as gains.
        if tuple(kinds) != table.task.propagation:
            continue
        wer = by_name[b].cells.get("wer")
        heard = ""
        if errors and wer and wer.value is not None:
            ends = interval(wer.low, wer.high, errors.digits)
            heard = f" (word error rate {f'{value_text(wer, errors)} {ends}'.strip()})"
        shared = [column for column in columns if column.key in records]
        costs = []
        for column in shared:
            cost = records[column.key].difference
            if cost.value is not None:
                ends = interval(cost.low, cost.high, column.digits)
                costs.append(f"{column.label} {_sign(cost.value, column)} {ends}".strip())
        yield (
            f"Error propagation: {labels[a]} minus {labels[b]} is what the recogniser{heard} "
            f"costs: {', '.join(costs) or 'not measured'}."
        )


# Columns by which clips are ranked, as far as they were measured.
JUDGES = ("kl", "clap")
SHOWN = 5
# With fewer clips there is nothing to choose.
FEWEST = 4 * SHOWN


class Extremes(NamedTuple):
    """The clips of a system that one column ranks `best` and `worst`, each the very first first."""

    system: SystemRecord
    column: str
    best: tuple[str, ...]
    worst: tuple[str, ...]


def rank_extremes(metrics: MetricsFile, random: Collection[str] = ()) -> list[Extremes]:
    """Return the extremes of each system by each judge; none of a system with few ranked clips.

    `random` are systems on random weights: they have no quality.
    """
    systems = [record for name, record in metrics.systems.items() if name not in random]
    extremes = []
    for system in systems:
        for column in _list_judges(metrics):
            sign = -1 if metrics.columns[column].better == "higher" else 1
            values = {
                clip: sign * by_column[column]
                for clip, by_column in system.per_clip.items()
                if isfinite(by_column.get(column, nan))
            }
            # Equal clips in the order of their ids, so that every report lists the same ones.
            clips = sorted(values, key=lambda clip: (values[clip], clip))
            if len(clips) >= FEWEST:
                worst = clips[: -SHOWN - 1 : -1]
                extremes.append(Extremes(system, column, tuple(clips[:SHOWN]), tuple(worst)))
    return extremes


def describe_extremes(
    metrics: MetricsFile, captions: Mapping[str, str], random: Collection[str] = ()
) -> Section | None:
    """Return the clips of `rank_extremes`, with their captions where known."""
    judges = {column: metrics.columns[column] for column in _list_judges(metrics)}
    lines: list[Line] = []
    for system, column, best, worst in rank_extremes(metrics, random):
        lines.append(Line(heading=f"{system.label}, by {metrics.columns[column].label}"))
        for which, clips in (("best", best), ("worst", worst)):
            for clip in clips:
                values = {key: system.per_clip[clip].get(key, nan) for key in judges}
                # A clip that one judge ranks may have no value from the other.
                numbers = [
                    figure(value, judges[key].digits) if isfinite(value) else ""
                    for key, value in values.items()
                ]
                caption = [captions.get(clip, "")] if captions else []
                cells = (which, clip, *numbers, *caption)
                lines.append(Line(tuple(map(Printed, cells))))
    if not lines:
        return None
    labels = (judge.label for judge in judges.values())
    heads = (Head(""), Head("Clip", names="clip"), *map(Head, labels))
    heads += (Head("Caption"),) if captions else ()
    text = ("The clips to listen to first; all of them are in clips.parquet.",)
    grid = Grid(heads, tuple(lines))
    return Section("extremes", "Best and worst clips", text, grid, only="markdown")


def _list_judges(metrics: MetricsFile) -> list[str]:
    return [column for column in JUDGES if column in metrics.columns]
