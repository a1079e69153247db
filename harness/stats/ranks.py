"""Ranks that intervals allow: of one system a range of places, not one.

A system is behind another only where the other's whole interval is better. Its best place is one
more than the systems it is behind, its worst place leaves below it those that are behind it. Two
systems whose intervals overlap therefore always share a place, whichever way round they stand.
That is stricter than a test of their difference (Schenker and Gentleman, 2001), which needs both
systems' clips; intervals are not widened for the number of systems.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Ends(NamedTuple):
    """The ends of an interval, in the unit of its value."""

    low: float
    high: float


class Rank(NamedTuple):
    """The places that a system may hold, from 1."""

    best: int
    worst: int

    @property
    def text(self) -> str:
        """
        >>> ascii(Rank(1, 3).text), Rank(2, 2).text
        ("'1\\\\u20133'", '2')
        """
        if self.best == self.worst:
            return str(self.best)
        return f"{self.best}\N{EN DASH}{self.worst}"


def ranks(intervals: Sequence[Ends], better: Literal["lower", "higher"]) -> list[Rank]:
    """Return the places of each interval among all of them, in their order.

    The first two overlap, the third is behind both:

    >>> ranks([Ends(1, 3), Ends(2, 4), Ends(5, 6)], "lower")
    [Rank(best=1, worst=2), Rank(best=1, worst=2), Rank(best=3, worst=3)]
    """
    if better == "higher":
        intervals = [Ends(-high, -low) for low, high in intervals]
    return [
        Rank(
            1 + sum(other.high < interval.low for other in intervals),
            len(intervals) - sum(interval.high < other.low for other in intervals),
        )
        for interval in intervals
    ]
