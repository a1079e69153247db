"""The history page's content: of every suite and metric, the course of each system."""

from collections.abc import Sequence
from typing import NamedTuple

from harness.board.history import HistoryRecord
from harness.board.history_series import Metric, Series, metric_of, series
from harness.board.history_show import events
from harness.board.site_plot import drawing
from harness.figures import counted, figure, interval
from harness.table import TIMINGS

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
