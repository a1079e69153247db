"""The latency waterfall: every stage of a system one after the other, the remainder shown."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stabench.harness.formatting import NOTHING, figure
from stabench.harness.report.table import Table
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.results import Results
from stabench.harness.runs.timings import Stage

MS_NS = 1e6


class Bar(NamedTuple):
    """One line: a `kind` of stage, remainder or sum (a phase); shares of the axis as its place."""

    kind: str
    phase: str
    name: str
    mean_ns: float
    start: float
    width: float
    share: float
    device_ns: float | None

    @property
    def wall_ms(self) -> str:
        """Mean wall time as printed."""
        return figure(self.mean_ns / MS_NS, 2)

    @property
    def percent(self) -> str:
        """Share of both phases together."""
        return f"{figure(100 * self.share, 1)} %"

    @property
    def device_ms(self) -> str:
        """Mean device time as printed, where it was measured."""
        return NOTHING if self.device_ns is None else figure(self.device_ns / MS_NS, 2)


class Waterfall(NamedTuple):
    """One system; `bars` are its stages, and after each phase the phase as a whole."""

    system: str
    label: str
    total_ms: str
    clips: int
    bars: tuple[Bar, ...]
    on_device: bool


def draw_waterfalls(results: Results, table: Table) -> list[Waterfall]:
    """Return every timed system, on one axis that the slowest one fills."""
    rows = table.systems
    parts = {row.system: results.stages(row.system) for row in rows}
    # 1 where nothing took any time: an axis needs a length.
    longest_ns = max(map(_sum_ns, parts.values()), default=0.0) or 1.0
    return [
        Waterfall(
            row.system,
            row.label,
            figure(_sum_ns(parts[row.system]) / MS_NS, 1),
            len({trial.clip for trial in results.timed(row.system)}),
            tuple(_draw_bars(parts[row.system], longest_ns)),
            any(part.device_ns is not None for part in parts[row.system]),
        )
        for row in rows
        if parts[row.system]
    ]


def _sum_ns(parts: Sequence[Stage]) -> float:
    return sum(part.mean_ns for part in parts)


def _draw_bars(parts: Sequence[Stage], longest_ns: float) -> Iterator[Bar]:
    """Yield stages in the order of the clock, each beginning where the one before it ends."""
    # Phases follow one another, as they do for the user who waits.
    at_ns = 0.0
    for phase in dict.fromkeys(part.phase for part in parts):
        phase_parts = [part for part in parts if part.phase == phase]
        began_ns = at_ns
        for part in phase_parts:
            kind = "remainder" if part.name == REMAINDER else "stage"
            place = (at_ns / longest_ns, part.mean_ns / longest_ns)
            name = part.name.strip("()")
            yield Bar(kind, phase, name, part.mean_ns, *place, part.share, part.device_ns)
            at_ns += part.mean_ns
        place = (began_ns / longest_ns, (at_ns - began_ns) / longest_ns)
        share = sum(part.share for part in phase_parts)
        yield Bar("sum", phase, phase, at_ns - began_ns, *place, share, None)
