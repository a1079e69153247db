"""A series: one metric of one system over the recorded runs, with breaks and change points.

Values are comparable within a stretch of equal provenance only. Where it changes there is a break:
no line, no change point and no difference reaches across it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import decimals
from stabench.harness.history.history import HistoryRecord, Number, System
from stabench.harness.stats.change_points import ChangePoint, change_points
from stabench.harness.tasks.speech_to_audio import TIMINGS, Better


class Metric(NamedTuple):
    """What is drawn: a quality column, or the median of a latency phase in its unit."""

    key: str
    label: str
    unit: str
    better: Better
    digits: int


class Point(NamedTuple):
    """One run's value; `provenance` is what it must share with another to be compared."""

    run: str
    at: datetime
    commit: str
    system_sha256: str
    value: float
    low: float | None
    high: float | None
    n: int
    failed: int
    provenance: tuple[tuple[str, str], ...]


class Stretch(NamedTuple):
    """Points of equal provenance, in order of time; `why` it does not continue the one before."""

    points: tuple[Point, ...]
    changes: tuple[ChangePoint, ...]
    why: str = ""


class Series(NamedTuple):
    """One system's stretches."""

    system: str
    label: str
    stretches: tuple[Stretch, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """All points in order of time."""
        return tuple(point for stretch in self.stretches for point in stretch.points)


def metric_of(records: Sequence[HistoryRecord], key: str) -> Metric:
    """The metric that is called `key`, as the last record says. Raises StabenchError for none."""
    columns = {name: column for one in records for name, column in one.columns.items()}
    if key in columns:
        found = columns[key]
        return Metric(key, found.label, found.unit, found.better, found.digits)
    timings = {timing.column.key: timing for timing in TIMINGS}
    if key not in timings:
        raise StabenchError(f"history: {unknown('metric', key, [*columns, *timings])}")
    column, phase, unit_ns = timings[key]
    medians = [
        system.median_ns[phase].value / unit_ns
        for one in records
        for system in one.systems.values()
        if phase in system.median_ns
    ]
    label = f"{column.label}, median"
    return Metric(key, label, column.unit, column.better, decimals(medians))


def series(
    records: Iterable[HistoryRecord],
    metric: Metric,
    *,
    suite: str,
    system: str | None = None,
    machine: str | None = None,
) -> list[Series]:
    """The series of every system of a suite, or of one; `machine` keeps those of one machine.

    Raises StabenchError for a suite or a system that no record has.
    """
    records = sorted(records, key=lambda record: record.at)
    chosen = [record for record in records if record.suite.name == suite]
    if not chosen:
        known = {record.suite.name for record in records}
        raise StabenchError(f"history: {unknown('suite', suite, known)}")
    machines = {record.machine.name for record in chosen}
    if machine is not None:
        chosen = [one for one in chosen if machine.lower() in one.machine.name.lower()]
    if not chosen:
        raise StabenchError(f"history: {unknown('machine', machine or '', machines)}")
    labels = {name: one.label for record in chosen for name, one in record.systems.items()}
    if system is not None and system not in labels:
        raise StabenchError(f"history: {unknown('system', system, labels)}")
    wanted = [system] if system else list(labels)
    found = [Series(name, labels[name], _stretches(chosen, metric, name)) for name in wanted]
    return [one for one in found if one.stretches]


def _stretches(
    records: Sequence[HistoryRecord], metric: Metric, system: str
) -> tuple[Stretch, ...]:
    points = [point for record in records if (point := _point(record, metric, system))]
    stretches: list[Stretch] = []
    for _, group in groupby(points, key=lambda point: point.provenance):
        same = tuple(group)
        why = _changed(stretches[-1].points[-1], same[0]) if stretches else ""
        moved = change_points([point.value for point in same])
        stretches.append(Stretch(same, tuple(moved), why))
    return tuple(stretches)


def _point(record: HistoryRecord, metric: Metric, name: str) -> Point | None:
    """A record's value, or None where it has none."""
    system = record.systems.get(name)
    number = _number(system, metric) if system else None
    if not system or not number:
        return None
    commit = (record.source.commit or "none")[:12] + ("+" if record.source.dirty else "")
    return Point(
        record.run,
        record.at,
        commit,
        system.sha256,
        number.value,
        number.low,
        number.high,
        number.n,
        system.failed,
        _provenance(record, metric, system),
    )


def _number(system: System, metric: Metric) -> Number | None:
    for column, phase, unit_ns in TIMINGS:
        if column.key == metric.key and (found := system.median_ns.get(phase)):
            low, high = (end if end is None else end / unit_ns for end in (found.low, found.high))
            return Number(value=found.value / unit_ns, low=low, high=high, n=found.n)
    return system.quality.get(metric.key)


def _provenance(
    record: HistoryRecord, metric: Metric, system: System
) -> tuple[tuple[str, str], ...]:
    """What decides the number beside the system and the packages: those are what is watched."""
    data, how = record.dataset, record.conditions
    facts = {
        "dataset": f"{data.name} {data.version}, {data.n} clips ({data.digest[:8]})",
        "precision": system.precision,
    }
    if column := record.columns.get(metric.key):
        protocol = record.protocol.title if record.protocol else "none"
        network = f"{column.embedder} ({(column.identity or '')[:12]}, {column.precision})"
        facts |= {
            "version of the metric": str(column.version),
            "protocol": protocol,
            "embedder": network if column.embedder else "none",
            "seed": str(how.seed),
        }
    else:
        where = record.machine
        facts |= {
            "hardware": f"{where.name} ({where.device}, {where.threads} of {where.cores} cores)",
            "scenario": f"{how.scenario}, batch {how.batch_size}",
            "rounds": f"{how.warmups} warm-ups, {how.repeats} repeats",
        }
    return tuple(facts.items())


def _changed(before: Point, after: Point) -> str:
    """What is no longer the same, with both values."""
    then = dict(before.provenance)
    moved = [(key, then.get(key, "none"), now) for key, now in after.provenance]
    return "; ".join(f"{key} was {old}, is {new}" for key, old, new in moved if old != new)
