"""Quality against latency: where each system lies, and which of them no other one beats."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from math import ceil, floor, log10
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure, interval
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import TOTAL, UNSTATED, Column, Task

# A largest value this many times the smallest asks for a logarithmic axis.
WIDE = 10
PADDING = 0.06
# Values that differ by less than this share of their size are one value to the eye.
ALIKE = 1e-6
MOST_TICKS = 7


class Tick(NamedTuple):
    """Where a value lies on the axis, and how it is written."""

    share: float
    text: str


class Scale(NamedTuple):
    """Maps `low` to 0 and `high` to 1."""

    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        """Return the place of a value, held within the axis."""
        low, high = self._end(self.low), self._end(self.high)
        return min(max((self._end(value) - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[Tick]:
        """Return round values within the axis: 1, 2 and 5 times powers of ten."""
        values = (
            _list_decades(self.low, self.high) if self.log else _list_steps(self.low, self.high)
        )
        return [Tick(self.share(value), _format_tick(value, values)) for value in values]

    def _end(self, value: float) -> float:
        return log10(max(value, self.low)) if self.log else value


def fit_scale(values: Sequence[float], *, may_be_log: bool = False) -> Scale:
    """Return a scale that shows all `values` with a little room at both ends."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low >= WIDE:
        room = (high / low) ** PADDING
        return Scale(low / room, high * room, True)
    # Equal values have no range: their size (or 1) gives the axis one.
    size = max(abs(low), abs(high))
    room = PADDING * (high - low) if high - low > ALIKE * size else size or 1.0
    return Scale(low - room, high + room, False)


def _list_steps(low: float, high: float) -> list[float]:
    """Return multiples of a round step, at most MOST_TICKS."""
    # The power of ten below the least possible step; 20 of it are always enough.
    power = 10 ** floor(log10((high - low) / MOST_TICKS))
    step = next(
        m * power
        for m in (1, 2, 5, 10, 20)
        if floor(high / (m * power)) - ceil(low / (m * power)) < MOST_TICKS
    )
    return [k * step for k in range(ceil(low / step), floor(high / step) + 1)]


def _list_decades(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 times powers of ten, or the powers alone where those are too many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        values = [m * 10.0**p for p in powers for m in multiples if low <= m * 10.0**p <= high]
        if len(values) <= MOST_TICKS:
            break
    return values[:: ceil(len(values) / MOST_TICKS) or 1]


def _format_tick(value: float, beside: Sequence[float]) -> str:
    """Return a value with the decimals that its axis asks for.

    Those of the smallest step or, where steps grow (decades), of the value itself.
    """
    gaps = [b - a for a, b in pairwise(beside)] or [abs(value) or 1.0]
    # Steps of decades grow by more than half from the first to the last.
    even = len(gaps) > 1 and abs(gaps[0] - gaps[-1]) < gaps[0] / 2
    size = min(gaps) if even or not value else abs(value)
    return figure(value, max(0, -floor(log10(size) + 1e-9)))


# Height of the drawing, px; its width is the reader's.
HEIGHT = 380
# Least distance of two labels on one side of their points, px.
LINE = 16
# A label stands above its point, clear of the bar to the side, px.
ABOVE = 8
# Or below it, where another label stands above.
BELOW = 18
LONGEST_LABEL = 28


class Point(NamedTuple):
    """One system: shares of the width (x) and pixels from the top (y), its interval's ends too."""

    system: str
    label: str
    paradigm: str
    on_front: bool
    latency: Estimate
    quality: Estimate
    x: float
    x_ends: tuple[float, float] | None
    y: float
    y_ends: tuple[float, float] | None
    label_y: float
    text: str


class Step(NamedTuple):
    """A piece of the front's line: shares in x, pixels in y."""

    x1: float
    y1: float
    x2: float
    y2: float


class Chart(NamedTuple):
    """One metric against one latency. `front` names the systems that no other beats."""

    metric: str
    metric_label: str
    latency: str
    title: str
    metric_title: str
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    front: tuple[str, ...]
    missing: tuple[str, ...]
    same_clips: bool


class Pair(NamedTuple):
    """A row with both numbers; the latency is in milliseconds."""

    row: Row
    latency: Estimate
    quality: Estimate


def assign_markers(task: Task) -> dict[str, str]:
    """Return the marker of each paradigm; from the fourth on they share the last."""
    paradigms = (*task.paradigms, UNSTATED)
    glyphs = ("■", "●", "◆")[: len(task.paradigms)]
    return dict(zip_longest(paradigms, glyphs, fillvalue="▲"))


def name_latencies(task: Task) -> dict[str, str]:
    """Return the latencies to choose from by key, the first one shown first: all phases together,
    then each."""
    labels = {phase.column.key: phase.column.label for phase in task.phases}
    first, *others = labels.values()
    return {TOTAL.key: " and ".join((first, *(other.lower() for other in others))), **labels}


def draw_charts(results: Results, table: Table) -> list[Chart]:
    """Return a chart for every metric and latency that two systems or more have.

    None of a metric whose network has random weights: there is no better system to show.
    """
    rows = table.systems
    labels = name_latencies(results.task)
    times = {
        key: {row.system: average_ms(results, row.system, key) for row in rows} for key in labels
    }
    charts = []
    quality = (c for c in table.columns if c.block == "quality" and not c.random)
    for column in quality:
        for key, latencies in times.items():
            pairs = [Pair(row, latencies[row.system], row.cells[column.key]) for row in rows]
            shown = [
                p for p in pairs if p.latency.value is not None and p.quality.value is not None
            ]
            if len(shown) > 1:
                missing = []
                for pair in (pair for pair in pairs if pair not in shown):
                    number = pair.quality if pair.quality.value is None else pair.latency
                    missing.append(f"{pair.row.label} ({number.reason or 'not measured'})")
                best = find_front(shown, column.better, table.task.told)
                charts.append(draw_chart(column, labels[key], key, shown, best, tuple(missing)))
    return charts


class First(NamedTuple):
    """The metric whose chart is shown first, and why that one."""

    metric: str
    reason: str


def choose_first(
    charts: Sequence[Chart], separated: Mapping[str, int], pairs: int, test: str
) -> First | None:
    """Return the metric that tells most pairs of systems apart, the first chart's of equals.

    `separated` says by metric how many of the `pairs` it tells apart by the `test`; one that is not
    in it (IS has no paired differences) tells none apart. None without a chart.
    """
    if not charts:
        return None
    # max takes the first of equals.
    chart = max(charts, key=lambda chart: separated.get(chart.metric, 0))
    if count := separated.get(chart.metric, 0):
        why = f"no metric tells more pairs of systems apart, {count} of {pairs} by {test}"
    else:
        why = f"no metric tells any two systems apart by {test}, and it is the table's first"
    return First(chart.metric, f"{chart.metric_label} is shown first: {why}.")


def find_front(pairs: Sequence[Pair], better: str, told: Sequence[str]) -> list[Pair]:
    """Return the systems that no other beats in one number without losing in the other.

    Paradigms that are `told` the caption do not compete.
    """
    sign = 1 if better == "lower" else -1
    compared = [pair for pair in pairs if pair.row.paradigm not in told]
    costs = [(_read_value(pair.latency), sign * _read_value(pair.quality)) for pair in compared]
    kept = [
        pair
        for pair, cost in zip(compared, costs, strict=True)
        if not any(a <= cost[0] and b <= cost[1] and (a, b) != cost for a, b in costs)
    ]
    return sorted(kept, key=lambda pair: _read_value(pair.latency))


def average_ms(results: Results, system: str, key: str) -> Estimate:
    """Return the mean latency with its interval, ms: one phase, or all of a clip together."""
    phase = results.task.phase_of(key)
    latency = results.latency(system, phase.name if phase else key)
    return Estimate.missing(latency) if isinstance(latency, str) else latency.mean.scaled(1e-6)


def draw_chart(
    column: Column,
    label: str,
    key: str,
    pairs: list[Pair],
    best: list[Pair],
    missing: tuple[str, ...],
) -> Chart:
    """Return the chart of `pairs`, with latencies in ms; `best` of them are its front.

    `label` and `key` are of the latency; `missing` says which systems are not drawn, and why.
    """
    # One unit for all systems, so that the axis is read at once.
    slowest = max(end for pair in pairs for end in _list_ends(pair.latency))
    unit, factor = ("ms", 1.0) if slowest < 1000 else ("s", 1e-3)
    pairs = [pair._replace(latency=pair.latency.scaled(factor)) for pair in pairs]
    across = fit_scale([end for p in pairs for end in _list_ends(p.latency)], may_be_log=True)
    up = fit_scale([end for p in pairs for end in _list_ends(p.quality)])
    names = {pair.row.system for pair in best}
    points = [_draw_point(pair, column, unit, across, up, names) for pair in pairs]
    points = _separate_labels(sorted(points, key=lambda point: point.y))
    by_system = {point.system: point for point in points}
    turned = ", axis reversed" if column.better == "lower" else ""
    return Chart(
        metric=column.key,
        metric_label=column.label,
        latency=key,
        title=f"{column.label} against {label.lower()}",
        metric_title=column.title,
        x_title=f"{label} ({unit}{', logarithmic' if across.log else ''})",
        y_title=f"{column.title}{turned}: up is better",
        x_ticks=tuple(across.ticks()),
        y_ticks=tuple(Tick(_turn(t.share, column), t.text) for t in up.ticks()),
        points=tuple(points),
        steps=tuple(_draw_steps([by_system[pair.row.system] for pair in best])),
        front=tuple(pair.row.label for pair in best),
        missing=missing,
        same_clips=len({(pair.quality.n, pair.latency.n) for pair in pairs}) == 1,
    )


def _read_value(number: Estimate) -> float:
    """Return what is drawn: a pair without a number is not."""
    assert number.value is not None
    return number.value


def _list_ends(number: Estimate) -> list[float]:
    return [end for end in number[:3] if end is not None]


def _turn(share: float, column: Column) -> float:
    """Return pixels from the top; the better side is up."""
    return HEIGHT * (share if column.better == "lower" else 1 - share)


def _draw_point(
    pair: Pair, column: Column, unit: str, across: Scale, up: Scale, best: set[str]
) -> Point:
    y = _turn(up.share(_read_value(pair.quality)), column)
    y_ends = [_turn(up.share(end), column) for end in pair.quality[1:3] if end is not None]
    label = pair.row.label
    x_ends = [across.share(end) for end in pair.latency[1:3] if end is not None]
    return Point(
        pair.row.system,
        label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…",
        pair.row.paradigm,
        pair.row.system in best,
        pair.latency,
        pair.quality,
        across.share(_read_value(pair.latency)),
        (x_ends[0], x_ends[1]) if len(x_ends) == 2 else None,
        y,
        (min(y_ends), max(y_ends)) if len(y_ends) == 2 else None,
        y,
        f"{label}: {_format(pair.latency)} {unit}, "
        f"{column.label} {_format(pair.quality, column.digits)}",
    )


def _format(number: Estimate, digits: int | None = None) -> str:
    value = _read_value(number)
    digits = decimals([value]) if digits is None else digits
    return f"{figure(value, digits)} {interval(number.low, number.high, digits)}".strip()


def _separate_labels(points: Sequence[Point]) -> list[Point]:
    """Return points from the top down, labels not lying over one another."""
    places: dict[str, float] = {}
    # Labels of both sides may meet in the middle, so none shares a height with another; of more
    # systems than the drawing is high each side has its own.
    sides = (
        [points]
        if len(points) * LINE <= HEIGHT
        else [[point for point in points if (point.x > 0.5) == side] for side in (True, False)]
    )
    for column in sides:
        places |= dict(zip((point.system for point in column), _place_labels(column), strict=True))
    return [point._replace(label_y=places[point.system]) for point in points]


def _place_labels(points: Sequence[Point]) -> list[float]:
    """Return the height of each label: above its point, or below where that is taken."""
    ys: list[float] = []
    for point in points:
        least = ys[-1] + LINE if ys else 0.0
        free = point.y - ABOVE >= least
        ys.append(point.y - ABOVE if free else max(point.y + BELOW, least))
    # What was pushed beyond the lower edge comes back up, and pushes those above it.
    lowest = float(HEIGHT)
    for index in reversed(range(len(ys))):
        ys[index] = min(ys[index], lowest)
        lowest = ys[index] - LINE
    return ys


def _draw_steps(points: Sequence[Point]) -> Iterator[Step]:
    """Yield the border of what the front reaches: across at one quality, then up at the next."""
    for here, there in pairwise(points):
        yield Step(here.x, here.y, there.x, here.y)
        yield Step(there.x, here.y, there.x, there.y)
    if points:
        yield Step(points[-1].x, points[-1].y, 1.0, points[-1].y)
