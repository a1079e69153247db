"""What is told of a history: the lines of `stabench history`, and the site's history page."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.formatting import counted, figure, interval, plain
from stabench.harness.history.history import HISTORY, HistoryRecord, read
from stabench.harness.history.plot import FEWEST_RUNS, draw, list_drawable
from stabench.harness.history.series import (
    Point,
    Series,
    Stretch,
    find_metric,
    timed_phases,
    trace_systems,
)
from stabench.harness.stats.change_points import LEAST_RUNS
from stabench.harness.tasks.task import Column

SUFFIX = ".svg"
# Breaks and change points that are told of a series, the last ones.
MOST_EVENTS = 12
# Runs of a suite that the site draws, the last ones.
MOST_RUNS = 500


def show(
    key: str,
    path: Path = HISTORY,
    *,
    suite: str = "pocket",
    system: str | None = None,
    machine: str | None = None,
    out: Path | None = None,
    stream: TextIO | None = None,
) -> None:
    """Print what became of a metric, and draw it in `out` (.svg) where one is given.

    Raises MissingError without a history, StabenchError for a name that no record has, for
    another kind of file and, after the lines, where runs are too few for a plot.
    """
    if out is not None and out.suffix.lower() != SUFFIX:
        raise StabenchError(f"--out '{out}': expected a name that ends in {SUFFIX}")
    records = read(path)
    metric = find_metric(records, key)
    traced = trace_systems(records, metric, suite=suite, system=system, machine=machine)
    if out is not None and not traced:
        raise StabenchError(f"history: no record has {metric.key}; nothing to draw")
    print("\n".join(lines(metric, traced)), file=stream or sys.stdout)
    if out is not None:
        drawable = list_drawable(traced)
        if not drawable:
            longest = max(len(series.points) for series in traced)
            raise StabenchError(
                f"--out '{out}': not drawn, a plot needs {FEWEST_RUNS} runs of a system, there "
                f"{'is' if longest == 1 else 'are'} {longest}; record more, or leave --out away"
            )
        files.write_bytes(out, draw(metric, drawable))
        print(f"\nplot: {out}", file=stream or sys.stdout)


def lines(metric: Column, traced: Sequence[Series]) -> Iterator[str]:
    """Yield the lines of the command, without anything that a terminal would obey."""
    yield plain(_format_title(metric))
    if not traced:
        yield "No record has it."
    for series in traced:
        name = "" if series.label == series.system else f" ({plain(series.system)})"
        yield ""
        yield f"{plain(series.label)}{name}, {counted(len(series.points), 'run')}"
        last = series.points[-1]
        ends = interval(last.estimate.low, last.estimate.high, metric.digits)
        number = f"{figure(last.value, metric.digits)} {ends}".strip()
        failed = f", {last.failed} failed" if last.failed else ""
        yield (
            f"  last    {_print_time(last)}: {number}, {counted(last.estimate.n, 'clip')}{failed}, "
            f"commit {plain(last.commit)}"
        )
        yield from (f"  {event}" for event in events(metric, series))
        longest = max(len(stretch.points) for stretch in series.stretches)
        if longest < LEAST_RUNS:
            yield (
                f"  Change points need {LEAST_RUNS} runs of one provenance; "
                f"there {'is' if longest == 1 else 'are'} {longest}."
            )


def events(metric: Column, series: Series) -> list[str]:
    """Return a line for each break and change point in order of time; of many, the last ones."""
    told = []
    for stretch in series.stretches:
        if stretch.why:
            told.append(f"break   {_print_time(stretch.points[0])}: {plain(stretch.why)}")
        told += _describe_changes(metric, stretch)
    left_out = len(told) - MOST_EVENTS
    if left_out <= 0:
        return told
    return [f"({counted(left_out, 'earlier event')} not told)", *told[-MOST_EVENTS:]]


def _describe_changes(metric: Column, stretch: Stretch) -> Iterator[str]:
    for change in stretch.changes:
        first, last = stretch.points[change.index], stretch.points[change.index - 1]
        better = (change.after < change.before) == (metric.better == "lower")
        # As many decimals as it takes to tell the two levels apart.
        digits = next(
            (
                count
                for count in range(metric.digits, 9)
                if figure(change.before, count) != figure(change.after, count)
            ),
            metric.digits,
        )
        moved = "; the system is another" if first.system_sha256 != last.system_sha256 else ""
        yield (
            f"change  {_print_time(first)}: {figure(change.before, digits)} to "
            f"{figure(change.after, digits)}, {'better' if better else 'worse'} "
            f"(p {change.p_value:.4f}), commits {plain(last.commit)}..{plain(first.commit)}{moved}"
        )


def _print_time(point: Point) -> str:
    return f"{point.at:%Y-%m-%d %H:%M}"


def _format_title(metric: Column) -> str:
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.label}{unit}, {metric.better} is better"


class Course(NamedTuple):
    """One system's series: how many runs, the last value with its interval, breaks and changes."""

    label: str
    runs: int
    last: str
    ends: str
    events: list[str]


class Courses(NamedTuple):
    """One metric of every system.

    `drawing` is the SVG of the systems `drawn`, those with runs enough, and `address` its place in
    the site; empty where no system has.
    """

    title: str
    drawing: bytes
    address: str
    drawn: tuple[str, ...]
    lines: list[Course]


class Recorded(NamedTuple):
    """One suite's metrics; `earlier` runs are left out."""

    name: str
    earlier: int
    metrics: list[Courses]


def suites(records: Sequence[HistoryRecord]) -> list[Recorded]:
    """Return every suite's metrics for the history page: latencies first, as in the table."""
    recorded = []
    names = sorted({record.suite.name for record in records})
    for place, name in enumerate(names, 1):
        every = [record for record in records if record.suite.name == name]
        recent = every[-MOST_RUNS:]
        phases = (phase for record in recent for phase in timed_phases(record))
        columns = (key for record in recent for key in record.columns)
        keys = dict.fromkeys((*(phase.column.key for phase in phases), *columns))
        metrics: list[Courses] = []
        for key in keys:
            metric = find_metric(recent, key)
            if traced := trace_systems(recent, metric, suite=name):
                drawable = list_drawable(traced)
                metrics.append(
                    Courses(
                        title=_format_title(metric),
                        drawing=draw(metric, drawable) if drawable else b"",
                        # Numbers, not names: no suite's name becomes a file's.
                        address=f"history/{place}-{len(metrics) + 1}{SUFFIX}" if drawable else "",
                        drawn=tuple(series.label for series in drawable),
                        lines=[_describe_course(metric, series) for series in traced],
                    )
                )
        recorded.append(Recorded(name, len(every) - len(recent), metrics))
    return recorded


def _describe_course(metric: Column, series: Series) -> Course:
    last = series.points[-1]
    return Course(
        label=series.label,
        runs=len(series.points),
        last=figure(last.value, metric.digits),
        ends=interval(last.estimate.low, last.estimate.high, metric.digits),
        events=events(metric, series),
    )
