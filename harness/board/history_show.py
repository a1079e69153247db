"""The history on a terminal: a small plot of every system, and what happened at its marks."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from harness.board.change_points import LEAST_RUNS
from harness.board.history import HISTORY, read
from harness.board.history_series import Metric, Point, Series, Stretch, metric_of, series
from harness.figures import counted, figure, interval, plain

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 60
"""Runs in a plot; earlier ones are counted."""
MOST_EVENTS = 12
"""Breaks and change points of a series that are told; earlier ones are counted."""


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
    """Print the series of a metric, and draw it in `out` (.png or .svg) where one is given.

    Raises MissingError without a history, StabenchError for a name that no record has.
    """
    records = read(path)
    metric = metric_of(records, key)
    found = series(records, metric, suite=suite, system=system, machine=machine)
    print("\n".join(lines(metric, found)), file=stream or sys.stdout)
    if out is not None:
        from harness.board.history_plot import draw

        print(f"plot: {draw(metric, found, out)}", file=stream or sys.stdout)


def lines(metric: Metric, found: list[Series]) -> Iterator[str]:
    """The whole page, a line at a time, without anything that a terminal would obey."""
    arrow = "lower is better" if metric.better == "lower" else "higher is better"
    unit = f" ({metric.unit})" if metric.unit else ""
    yield f"{plain(metric.label)}{plain(unit)}, {arrow}"
    if not found:
        yield "No record has it."
    for one in found:
        yield ""
        yield from _system(metric, one)


def _system(metric: Metric, series: Series) -> Iterator[str]:
    name = "" if series.label == series.system else f" ({plain(series.system)})"
    yield f"{plain(series.label)}{name}"
    yield from _plot(metric, series)
    yield f"  last    {_point(metric, series.points[-1])}"
    yield from (f"  {event}" for event in events(metric, series))
    longest = max(len(stretch.points) for stretch in series.stretches)
    if longest < LEAST_RUNS:
        yield (
            f"  Change points need {LEAST_RUNS} runs of one provenance; "
            f"there {'is' if longest == 1 else 'are'} {longest}."
        )


def events(metric: Metric, series: Series) -> list[str]:
    """A line for each break and each change point, in order of time; of many, the last ones."""
    found = []
    for stretch in series.stretches:
        if stretch.why:
            found.append(f"break   {_when(stretch.points[0])}: {plain(stretch.why)}")
        found += _changes(metric, stretch)
    left_out = len(found) - MOST_EVENTS
    if left_out <= 0:
        return found
    return [f"({counted(left_out, 'earlier event')} not told)", *found[-MOST_EVENTS:]]


def _plot(metric: Metric, series: Series) -> Iterator[str]:
    """A bar a run, a bar of its own for a break, and carets under the change points."""
    values = [point.value for point in series.points]
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    bars, marks = [], []
    for stretch in series.stretches:
        moved = {change.index: change for change in stretch.changes}
        bars += ["│"] if stretch.why else []
        marks += [" "] if stretch.why else []
        for index, point in enumerate(stretch.points):
            bars.append(BARS[round((len(BARS) - 1) * (point.value - low) / spread)])
            marks.append("^" if index in moved else " ")
    left_out = sum(bar != "│" for bar in bars[:-WIDEST])
    ends = f"{figure(low, metric.digits)} to {figure(high, metric.digits)}"
    yield f"  {''.join(bars[-WIDEST:])}  {ends}, {counted(len(values), 'run')}"
    if "^" in marks[-WIDEST:]:
        yield f"  {''.join(marks[-WIDEST:]).rstrip()}"
    if left_out:
        yield f"  ({counted(left_out, 'earlier run')} not drawn)"


def _changes(metric: Metric, stretch: Stretch) -> Iterator[str]:
    for change in stretch.changes:
        first, last = stretch.points[change.index], stretch.points[change.index - 1]
        better = (change.after < change.before) == (metric.better == "lower")
        ends = (change.before, change.after)
        digits = next((d for d in range(metric.digits, 9) if _differ(*ends, d)), metric.digits)
        moved = "; the system is another" if first.system_sha256 != last.system_sha256 else ""
        yield (
            f"change  {_when(first)}: {figure(change.before, digits)} to "
            f"{figure(change.after, digits)}, {'better' if better else 'worse'} "
            f"(p {change.p_value:.4f}), commits {plain(last.commit)}..{plain(first.commit)}{moved}"
        )


def _differ(one: float, other: float, digits: int) -> bool:
    return figure(one, digits) != figure(other, digits)


def _point(metric: Metric, point: Point) -> str:
    value = figure(point.value, metric.digits)
    ends = interval(point.low, point.high, metric.digits)
    failed = f", {point.failed} failed" if point.failed else ""
    said = f"{value} {ends}".strip()
    return (
        f"{_when(point)}: {said}, {counted(point.n, 'clip')}{failed}, commit {plain(point.commit)}"
    )


def _when(point: Point) -> str:
    return f"{point.at:%Y-%m-%d %H:%M}"
