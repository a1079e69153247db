"""Quality against latency: where each system lies, and which of them no other one beats."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure, interval
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.results import Results
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency
from stabench.harness.tasks.task import Column

WIDE = 10
"""A largest value this many times the smallest asks for a logarithmic axis."""
PADDING = 0.06
ALIKE = 1e-6
"""Values that differ by less than this share of their size are one value to the eye."""
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
        """The place of a value, held within the axis."""
        low, high = self._end(self.low), self._end(self.high)
        return min(max((self._end(value) - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[Tick]:
        """Round values within the axis: 1, 2 and 5 times powers of ten."""
        values = _decades(self.low, self.high) if self.log else _tick_steps(self.low, self.high)
        return [Tick(self.share(value), _written(value, values)) for value in values]

    def _end(self, value: float) -> float:
        return log10(max(value, self.low)) if self.log else value


def scale(values: Sequence[float], *, may_be_log: bool = False) -> Scale:
    """A scale that shows all `values` with a little room at both ends."""
    low, high = min(values), max(values)
    if may_be_log and low > 0 and high / low >= WIDE:
        room = (high / low) ** PADDING
        return Scale(low / room, high * room, True)
    size = max(abs(low), abs(high))
    room = PADDING * (high - low) if high - low > ALIKE * size else size or 1.0
    return Scale(low - room, high + room, False)


def _tick_steps(low: float, high: float) -> list[float]:
    """Multiples of a round step, at most MOST_TICKS."""
    power = 10 ** floor(log10((high - low) / MOST_TICKS))
    step = next(
        m * power
        for m in (1, 2, 5, 10, 20)
        if floor(high / (m * power)) - ceil(low / (m * power)) < MOST_TICKS
    )
    return [k * step for k in range(ceil(low / step), floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten, or the powers alone where those are too many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        found = [m * 10.0**p for p in powers for m in multiples if low <= m * 10.0**p <= high]
        if len(found) <= MOST_TICKS:
            break
    return found[:: ceil(len(found) / MOST_TICKS) or 1]


def _written(value: float, beside: Sequence[float]) -> str:
    """With the decimals that the smallest step (or, of decades, the value itself) asks for."""
    gaps = [b - a for a, b in pairwise(beside)] or [abs(value) or 1.0]
    even = len(gaps) > 1 and abs(gaps[0] - gaps[-1]) < gaps[0] / 2
    size = min(gaps) if even or not value else abs(value)
    return figure(value, max(0, -floor(log10(size) + 1e-9)))


HEIGHT = 380
"""Height of the drawing, px; its width is the reader's."""
LINE = 16
"""Least distance of two labels on one side of their points, px."""
ABOVE = 8
"""A label stands above its point, clear of the bar to the side, px."""
BELOW = 18
"""Or below it, where another label stands above."""
LONGEST_LABEL = 28
PHASES = {
    "total": "Processing and generation",
    "processing": "Processing",
    "generation": "Generation",
}
"""The latencies to choose from, the first one shown first."""


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


def charts(results: Results, table: Table) -> list[Chart]:
    """A chart for every metric and latency that two systems or more have.

    None of a metric whose network has random weights: there is no better system to show.
    """
    rows = [row for row in table.rows if row.paradigm != "sanity"]
    times = {
        key: {row.system: latency_ms(results, row.system, key) for row in rows} for key in PHASES
    }
    found = []
    quality = (c for c in table.columns if c.block == "quality" and not c.random)
    for column in quality:
        for key, latencies in times.items():
            pairs = [Pair(row, latencies[row.system], row.cells[column.key]) for row in rows]
            shown = [
                p for p in pairs if p.latency.value is not None and p.quality.value is not None
            ]
            if len(shown) > 1:
                missing = tuple(_lack(pair) for pair in pairs if pair not in shown)
                best = front(shown, column.better, table.task.told)
                found.append(_chart(column, key, shown, best, missing))
    return found


def _lack(pair: Pair) -> str:
    """Why a system is not drawn."""
    number = pair.quality if pair.quality.value is None else pair.latency
    return f"{pair.row.label} ({number.reason or 'not measured'})"


def front(pairs: Sequence[Pair], better: str, told: Sequence[str]) -> list[Pair]:
    """Return the systems that no other beats in one number without losing in the other.

    Paradigms that are `told` the caption do not compete.
    """
    sign = 1 if better == "lower" else -1
    compared = [pair for pair in pairs if pair.row.paradigm not in told]
    costs = [(_value(pair.latency), sign * _value(pair.quality)) for pair in compared]
    kept = [
        pair
        for pair, own in zip(compared, costs, strict=True)
        if not any(a <= own[0] and b <= own[1] and (a, b) != own for a, b in costs)
    ]
    return sorted(kept, key=lambda pair: _value(pair.latency))


def latency_ms(results: Results, system: str, key: str) -> Estimate:
    """Mean latency with its interval, ms: one phase, or both of a clip together."""
    if key == "total":
        walls = [
            (sum(row.phase_ns.values()), row.clip)
            for row in results.timed(system)
            if set(results.task.phase_names) <= row.phase_ns.keys()
        ]
        if not walls or results.run is None:
            return Estimate.missing("not timed")
        protocol = results.run.suite.protocol
        samples, clips = zip(*walls, strict=True)
        found: Latency | str = Latency(
            samples, clips, resamples=protocol.bootstrap, seed=protocol.seed
        )
    else:
        phase = results.task.phase_of(key)
        assert phase is not None, f"{key} is the latency of no phase"
        found = results.latency(system, phase.name)
    return Estimate.missing(found) if isinstance(found, str) else found.mean.scaled(1e-6)


def _chart(
    column: Column, key: str, pairs: list[Pair], best: list[Pair], missing: tuple[str, ...]
) -> Chart:
    slowest = max(end for pair in pairs for end in _ends(pair.latency))
    unit, factor = ("ms", 1.0) if slowest < 1000 else ("s", 1e-3)
    pairs = [pair._replace(latency=pair.latency.scaled(factor)) for pair in pairs]
    across = scale([end for p in pairs for end in _ends(p.latency)], may_be_log=True)
    up = scale([end for p in pairs for end in _ends(p.quality)])
    names = {pair.row.system for pair in best}
    points = [_point(pair, column, unit, across, up, names) for pair in pairs]
    points = _apart(sorted(points, key=lambda point: point.y))
    turned = ", axis reversed" if column.better == "lower" else ""
    return Chart(
        column.key,
        key,
        f"{column.label} against {PHASES[key].lower()}",
        column.title,
        f"{PHASES[key]} ({unit}{', logarithmic' if across.log else ''})",
        f"{column.title}{turned}: up is better",
        tuple(across.ticks()),
        tuple(Tick(_y(up, t.share, column), t.text) for t in up.ticks()),
        tuple(points),
        tuple(_steps([point for pair in best for point in points if _is(point, pair)])),
        tuple(pair.row.label for pair in best),
        missing,
        len({(pair.quality.n, pair.latency.n) for pair in pairs}) == 1,
    )


def _is(point: Point, pair: Pair) -> bool:
    return point.system == pair.row.system


def _value(number: Estimate) -> float:
    """What is drawn: a pair without a number is not."""
    assert number.value is not None
    return number.value


def _ends(number: Estimate) -> list[float]:
    return [end for end in number[:3] if end is not None]


def _y(up: Scale, share: float, column: Column) -> float:
    """Pixels from the top; the better side is up."""
    return HEIGHT * (share if column.better == "lower" else 1 - share)


def _point(
    pair: Pair, column: Column, unit: str, across: Scale, up: Scale, best: set[str]
) -> Point:
    y = _y(up, up.share(_value(pair.quality)), column)
    y_ends = [_y(up, up.share(end), column) for end in pair.quality[1:3] if end is not None]
    x_ends = [across.share(end) for end in pair.latency[1:3] if end is not None]
    return Point(
        pair.row.system,
        _short(pair.row.label),
        pair.row.paradigm,
        pair.row.system in best,
        pair.latency,
        pair.quality,
        across.share(_value(pair.latency)),
        (x_ends[0], x_ends[1]) if len(x_ends) == 2 else None,
        y,
        (min(y_ends), max(y_ends)) if len(y_ends) == 2 else None,
        y,
        f"{pair.row.label}: {_said(pair.latency)} {unit}, "
        f"{column.label} {_said(pair.quality, column.digits)}",
    )


def _said(number: Estimate, digits: int | None = None) -> str:
    value = _value(number)
    digits = decimals([value]) if digits is None else digits
    return f"{figure(value, digits)} {interval(number.low, number.high, digits)}".strip()


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _apart(points: Sequence[Point]) -> list[Point]:
    """Points from the top down, with labels that do not lie over one another on their side."""
    places: dict[str, float] = {}
    for side in (True, False):
        own = [point for point in points if (point.x > 0.5) == side]
        places |= dict(zip((point.system for point in own), _placed(own), strict=True))
    return [point._replace(label_y=places[point.system]) for point in points]


def _placed(points: Sequence[Point]) -> list[float]:
    """Above its point, or below where that is taken; pushed back up at the lower edge."""
    ys: list[float] = []
    for point in points:
        least = ys[-1] + LINE if ys else 0.0
        free = point.y - ABOVE >= least
        ys.append(point.y - ABOVE if free else max(point.y + BELOW, least))
    lowest = float(HEIGHT)
    for index in reversed(range(len(ys))):
        ys[index] = min(ys[index], lowest)
        lowest = ys[index] - LINE
    return ys


def _steps(points: Sequence[Point]) -> Iterator[Step]:
    """The border of what the front reaches: across at one quality, then up at the next."""
    for here, there in pairwise(points):
        yield Step(here.x, here.y, there.x, here.y)
        yield Step(there.x, here.y, there.x, there.y)
    if points:
        yield Step(points[-1].x, points[-1].y, 1.0, points[-1].y)
