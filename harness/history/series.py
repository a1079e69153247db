"""A series: one metric of one system over the recorded runs, with breaks and change points.

Values are comparable within a stretch of equal provenance only. Where it changes there is a break:
no line, no change point and no difference reaches across it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import decimals
from stabench.harness.history.history import HistoryRecord, System
from stabench.harness.stats.change_points import ChangePoint, change_points
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import Column, Phase, load_task


class Point(NamedTuple):
    """One run's value; `provenance` is what it must share with another to be compared."""

    run: str
    at: datetime
    commit: str
    system_sha256: str
    estimate: Estimate
    failed: int
    provenance: tuple[tuple[str, str], ...]

    @property
    def value(self) -> float:
        """The number itself: records hold nothing that was not measured."""
        assert self.estimate.value is not None
        return self.estimate.value


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


def find_metric(records: Sequence[HistoryRecord], key: str) -> Column:
    """Return the column called `key` as the last record describes it; of a phase, its median.

    Raises StabenchError for a key that no record has.
    """
    columns = {name: column for record in records for name, column in record.columns.items()}
    if key in columns:
        head = columns[key]
        return Column(key, head.label, head.unit, head.better, head.digits, "quality")
    phases = {phase.column.key: phase for record in records for phase in timed_phases(record)}
    if key not in phases:
        raise StabenchError(f"history: {unknown('metric', key, [*columns, *phases])}")
    phase = phases[key]
    medians = [
        system.median_ns[phase.name].scaled(1 / phase.unit_ns).value
        for record in records
        for system in record.systems.values()
        if phase.name in system.median_ns
    ]
    digits = decimals([median for median in medians if median is not None])
    return phase.column._replace(label=f"{phase.column.label}, median", digits=digits)


def timed_phases(record: HistoryRecord) -> tuple[Phase, ...]:
    """Return the phases that the record's task times."""
    return load_task(record.task).phases


def trace_systems(
    records: Iterable[HistoryRecord],
    metric: Column,
    *,
    suite: str,
    system: str | None = None,
    machine: str | None = None,
) -> list[Series]:
    """Return the series of every system of a suite, or of one; those without a value are left out.

    `machine` keeps the runs of machines whose name holds it, whatever the case. Raises
    StabenchError for a suite, system or machine that no record has.
    """
    records = sorted(records, key=lambda record: record.at)
    chosen = [record for record in records if record.suite.name == suite]
    if not chosen:
        suites = {record.suite.name for record in records}
        raise StabenchError(f"history: {unknown('suite', suite, suites)}")
    if machine is not None:
        names = {record.machine.name for record in chosen}
        chosen = [record for record in chosen if machine.lower() in record.machine.name.lower()]
        if not chosen:
            raise StabenchError(f"history: {unknown('machine', machine, names)}")
    labels = {name: entry.label for record in chosen for name, entry in record.systems.items()}
    if system is not None and system not in labels:
        raise StabenchError(f"history: {unknown('system', system, labels)}")
    traced = []
    for name in [system] if system else labels:
        points = [point for record in chosen if (point := _make_point(record, metric, name))]
        if points:
            traced.append(Series(name, labels[name], tuple(_split_stretches(points))))
    return traced


def _split_stretches(points: Iterable[Point]) -> Iterator[Stretch]:
    """Yield the longest stretches of equal provenance, each with why it is a new one."""
    before: Point | None = None
    for _, group in groupby(points, key=lambda point: point.provenance):
        # Neighbours in time only: after a change and back again the runs are two stretches.
        same = tuple(group)
        why = ""
        if before:
            then = dict(before.provenance)
            moved = [(key, then.get(key, "none"), now) for key, now in same[0].provenance]
            why = "; ".join(f"{key} was {old}, is {new}" for key, old, new in moved if old != new)
        moves = change_points([point.value for point in same])
        yield Stretch(same, tuple(moves), why)
        before = same[-1]


def _make_point(record: HistoryRecord, metric: Column, name: str) -> Point | None:
    """Return the value of a record, or None where it has none."""
    system = record.systems.get(name)
    if system is None:
        return None
    number = system.quality.get(metric.key)
    # A phase is recorded by its name and in ns, its column has another key and unit.
    for phase in timed_phases(record):
        if phase.column.key == metric.key and (median := system.median_ns.get(phase.name)):
            number = median.scaled(1 / phase.unit_ns)
    if number is None:
        return None
    commit = (record.source.commit or "none")[:12] + ("+" if record.source.dirty else "")
    return Point(
        run=record.run,
        at=record.at,
        commit=commit,
        system_sha256=system.sha256,
        estimate=number,
        failed=system.failed,
        provenance=_list_provenance(record, metric, system),
    )


def _list_provenance(
    record: HistoryRecord, metric: Column, system: System
) -> tuple[tuple[str, str], ...]:
    """Return what decides the number, but for the system and the packages: they are watched."""
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
        facts |= {"source of the metric": column.source} if column.source else {}
    else:
        where = record.machine
        facts |= {
            "hardware": f"{where.name} ({where.device}, {where.threads} of {where.cores} cores)",
            "scenario": f"{how.scenario}, batch {how.batch_size}",
            "rounds": f"{how.warmups} warm-ups, {how.repeats} repeats",
        }
    return tuple(facts.items())
