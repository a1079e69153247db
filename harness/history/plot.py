"""The plot of a history: values with intervals, change points, and gaps where provenance broke."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from stabench.harness import files
from stabench.harness.errors import StabenchError
from stabench.harness.formatting import counted, figure, interval, plain
from stabench.harness.history.history import HISTORY, read
from stabench.harness.history.series import Metric, Point, Series, Stretch, metric_of, series
from stabench.harness.stats.change_points import LEAST_RUNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which colour-blind readers can tell apart."""
MARKERS = "osD^vP*"


def draw(metric: Metric, found: list[Series], out: Path) -> Path:
    """Write a PNG or SVG, the same bytes for the same history; one panel below another a system.

    Raises StabenchError for another kind of file, or with nothing to draw.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise StabenchError(f"--out '{out}': expected a name that ends in {' or '.join(SUFFIXES)}")
    if not found:
        raise StabenchError(f"history: no record has {metric.key}; nothing to draw")
    files.write_bytes(out, _image(metric, found, out.suffix.lower()[1:]))
    return out


def _image(metric: Metric, found: list[Series], kind: str) -> bytes:
    import io

    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {"svg.hashsalt": "stabench", "font.size": 9, "text.parse_math": False}
    ):
        figure = Figure(figsize=(8, 1.0 + 1.9 * len(found)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
        runs = sorted({(point.at, point.run) for one in found for point in one.points})
        places = {run: place for place, (_, run) in enumerate(runs)}
        for index, (panel, one) in enumerate(zip(panels, found, strict=True)):
            _panel(panel, metric, one, places, index)
        _dates(panels[-1], [f"{at:%Y-%m-%d}" for at, _ in runs])
        out = io.BytesIO()
        undated = {"svg": {"Date": None}, "png": {"Software": None}}
        figure.savefig(out, format=kind, dpi=150, metadata=undated[kind])
    return out.getvalue()


def _panel(
    panel: "Axes", metric: Metric, series: Series, places: dict[str, int], index: int
) -> None:
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    for stretch in series.stretches:
        first = places[stretch.points[0].run]
        if stretch.why:
            panel.axvline(first - 0.5, color="0.5", linestyle=":", gid="break")
        _line(panel, stretch, places, colour, marker)
        for change in stretch.changes:
            place = places[stretch.points[change.index].run]
            panel.axvline(place - 0.5, color="#AA0000", linestyle="--", gid="change")
            text = f"p {change.p_value:.4f}"
            top = panel.get_xaxis_transform()
            panel.text(place - 0.4, 0.97, text, color="#AA0000", va="top", transform=top)
    arrow = "\N{DOWNWARDS ARROW}" if metric.better == "lower" else "\N{UPWARDS ARROW}"
    unit = f" ({metric.unit})" if metric.unit else ""
    panel.set_ylabel(plain(f"{metric.label}{unit} {arrow}"))
    panel.set_title(plain(series.label), loc="left")
    panel.set_xlim(-0.7, len(places) - 0.3)
    panel.grid(axis="y", color="0.9")
    panel.spines[["top", "right"]].set_visible(False)


def _line(
    panel: "Axes", stretch: Stretch, places: dict[str, int], colour: str, marker: str
) -> None:
    """One stretch: no line leaves it."""
    points = stretch.points
    along = [places[point.run] for point in points]
    below = [0.0 if point.low is None else point.value - point.low for point in points]
    above = [0.0 if point.high is None else point.high - point.value for point in points]
    values = [point.value for point in points]
    panel.errorbar(
        along, values, (below, above), color=colour, ecolor=colour, elinewidth=0.8, capsize=2,
        marker=marker, markersize=4, linewidth=1.2, gid="stretch",
    )  # fmt: skip


def _dates(panel: "Axes", dates: list[str]) -> None:
    """At most eight dates under the lowest panel."""
    step = -(-len(dates) // 8)
    panel.set_xticks(range(0, len(dates), step), dates[::step])


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
