"""Scales of a chart: from values to shares of an axis (0 to 1), linear or logarithmic."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10
from typing import NamedTuple

from harness.figures import figure

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
        values = _decades(self.low, self.high) if self.log else _steps(self.low, self.high)
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


def _steps(low: float, high: float) -> list[float]:
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
