"""Times of the journal's rows: the columns of time, the means of clips, the stages of a phase."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from stabench.harness.runs.journal import JOINED, REMAINDER, Row, Span
from stabench.harness.tasks.task import REAL_TIME, TOTAL, Column, Task

Read = Callable[[Row], float | None]


class Timing(NamedTuple):
    """A column of time: `read` takes it from a row, in ns, of which `unit_ns` are a unit.

    `name` is that of its phase, or the column's key where it follows from all phases.
    """

    name: str
    column: Column
    unit_ns: float
    read: Read


def list_timings(task: Task) -> tuple[Timing, ...]:
    """Return the columns of time of a task, in the table's order."""

    def read_phase(name: str, row: Row) -> float | None:
        return row.phase_ns.get(name)

    def read_total(row: Row) -> float | None:
        # A row that stopped after a phase has no total; one that did all at once has nothing else.
        names = JOINED.join(row.phase_ns).split(JOINED)
        return sum(row.phase_ns.values()) if set(names) == set(task.phase_names) else None

    def read_real_time(row: Row) -> float | None:
        total_ns = read_total(row)
        if total_ns is None or not row.samples or not row.rate_hz:
            return None
        # Nanoseconds for each second of sound: in seconds it is the factor.
        return total_ns * row.rate_hz / row.samples

    return (
        *(
            Timing(phase.name, phase.column, phase.unit_ns, partial(read_phase, phase.name))
            for phase in task.phases
        ),
        Timing(TOTAL.key, TOTAL, 1e9, read_total),
        Timing(REAL_TIME.key, REAL_TIME, 1e9, read_real_time),
    )


def clip_times(
    rows: Iterable[Row], read: Read, copies: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return the mean time of each clip over its repeats, ns, in the order of measurement.

    `copies` are the clips that count as repeats of another.
    """
    times: dict[str, list[float]] = {}
    for row in rows:
        if (wall_ns := read(row)) is not None:
            times.setdefault((copies or {}).get(row.clip, row.clip), []).append(wall_ns)
    return {clip: sum(walls) / len(walls) for clip, walls in times.items()}


class Stage(NamedTuple):
    """Mean of one stage over all rows, with its share of all phases together (0 to 1)."""

    phase: str
    name: str
    mean_ns: float
    share: float
    device_ns: float | None


def timed(rows: Iterable[Row], system: str) -> list[Row]:
    """Return the rows of `system` that count: finished, and no warm-up."""
    return [row for row in rows if row.system == system and row.ok and not row.warmup]


def stages(rows: Sequence[Row]) -> list[Stage]:
    """Return means over `timed` rows in the order of the clock; a phase ends with its remainder.

    A stage that some rows lack counts there as 0, so that the stages add up to the mean phase.
    `device_ns` is None where a row has none (a CPU, or the remainder).
    """
    wall_ns: dict[tuple[str, str], int] = defaultdict(int)
    device_ns: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for phase, name, wall, device in (part for row in rows for part in list_spans(row)):
        wall_ns[phase, name] += wall
        device_ns[phase, name].append(device)
    total_ns = sum(wall_ns.values()) or 1
    phases = list(dict.fromkeys(phase for row in rows for phase in row.phase_ns))
    means: list[Stage] = []
    # In the order of the clock, the remainder last in each phase.
    for key in sorted(wall_ns, key=lambda key: (phases.index(key[0]), key[1] == REMAINDER)):
        known = [time_ns for time_ns in device_ns[key] if time_ns is not None]
        whole = len(known) == len(device_ns[key])
        mean_device_ns = sum(known) / len(rows) if whole else None
        mean_ns, share = wall_ns[key] / len(rows), wall_ns[key] / total_ns
        means.append(Stage(*key, mean_ns, share, mean_device_ns))
    return means


def list_spans(row: Row) -> Iterable[Span]:
    """Yield the row's stages, and what is left of each phase that ran."""
    yield from row.spans
    for phase in row.phase_ns:
        remainder_ns = row.remainder_ns(phase)
        if remainder_ns is not None:
            yield Span(phase, REMAINDER, remainder_ns)
