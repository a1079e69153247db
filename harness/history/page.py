"""The history page's content: of every suite and metric, the course of each system."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from stabench.harness.formatting import counted, figure, interval
from stabench.harness.history.history import HistoryRecord
from stabench.harness.history.plot import events
from stabench.harness.history.series import Metric, Series, Stretch, metric_of, series
from stabench.harness.tasks.speech_to_audio import TIMINGS

WIDTH, HEIGHT, MARGIN = 320, 64, 6


class Canvas:
    """From a run's number and a value to a place on the drawing, in its units."""

    def __init__(self, series: Series) -> None:
        points = series.points
        ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
        self._low, self._spread = min(ends), (max(ends) - min(ends)) or 1.0
        self._runs = len(points)

    def x(self, index: float) -> str:
        """Across: `index` counts the runs of the series."""
        step = (WIDTH - 2 * MARGIN) / max(self._runs - 1, 1)
        place = MARGIN + step * index if self._runs > 1 else WIDTH / 2
        return f"{place:.1f}"

    def y(self, value: float) -> str:
        """Down."""
        share = (value - self._low) / self._spread
        return f"{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share:.1f}"


def drawing(series: Series, label: str) -> str:
    """The SVG of a series; `label` is what a screen reader says of it."""
    canvas, first = Canvas(series), 0
    parts: list[str] = []
    for stretch in series.stretches:
        parts += _stretch(canvas, stretch, first)
        first += len(stretch.points)
    return (
        f'<svg class="series" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _stretch(canvas: Canvas, stretch: Stretch, first: int) -> Iterator[str]:
    """Marks, intervals, a line and dots; the line ends with the stretch."""
    if stretch.why:
        yield _rule(canvas, first - 0.5, "gap")
    for change in stretch.changes:
        yield _rule(canvas, first + change.index - 0.5, "change")
    places = [(canvas.x(first + i), point) for i, point in enumerate(stretch.points)]
    for x, point in places:
        if point.low is not None and point.high is not None:
            low, high = canvas.y(point.low), canvas.y(point.high)
            yield f'<line class="ends" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
    path = " ".join(f"{x},{canvas.y(point.value)}" for x, point in places)
    yield f'<polyline class="line" points="{path}"/>' if len(places) > 1 else ""
    yield from (
        f'<circle class="dot" cx="{x}" cy="{canvas.y(point.value)}" r="2"/>' for x, point in places
    )


def _rule(canvas: Canvas, index: float, name: str) -> str:
    x = canvas.x(index)
    return f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"/>'


MOST_RUNS = 500
"""Runs of a suite that the page draws, the last ones."""


class Course(NamedTuple):
    """One system's series: how often, a drawing, the last value, breaks and change points."""

    label: str
    runs: int
    drawing: str
    last: str
    ends: str
    events: list[str]


class Courses(NamedTuple):
    """One metric of every system."""

    title: str
    lines: list[Course]


class Recorded(NamedTuple):
    """One suite's metrics; `earlier` runs are left out."""

    name: str
    earlier: int
    metrics: list[Courses]


def suites(records: Sequence[HistoryRecord]) -> list[Recorded]:
    """Every suite's metrics as the history page shows them: latencies first, as in the table."""
    found = []
    for name in sorted({record.suite.name for record in records}):
        every = [record for record in records if record.suite.name == name]
        own = every[-MOST_RUNS:]
        keys = [timing.column.key for timing in TIMINGS]
        keys += list({key: None for record in own for key in record.columns})
        metrics = [_metric(own, name, key) for key in keys]
        shown = [metric for metric in metrics if metric.lines]
        found.append(Recorded(name, len(every) - len(own), shown))
    return found


def _metric(records: Sequence[HistoryRecord], suite: str, key: str) -> Courses:
    metric = metric_of(records, key)
    unit = f" ({metric.unit})" if metric.unit else ""
    title = f"{metric.label}{unit}, {metric.better} is better"
    return Courses(title, [_line(metric, one) for one in series(records, metric, suite=suite)])


def _line(metric: Metric, one: Series) -> Course:
    last, runs = one.points[-1], len(one.points)
    value = figure(last.value, metric.digits)
    label = f"{metric.label} of {one.label} over {counted(runs, 'run')}, last {value}"
    svg = drawing(one, label)
    ends = interval(last.low, last.high, metric.digits)
    return Course(one.label, runs, svg, value, ends, events(metric, one))
