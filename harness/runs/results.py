"""Results: what a folder holds, read for the report without torch or the metrics."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from stabench.harness.runs import audio_digest, metrics_file
from stabench.harness.runs.journal import REMAINDER, Row, Span
from stabench.harness.runs.journal import Row as Trial
from stabench.harness.runs.metrics_file import (
    DifferenceRecord,
    MetricsFile,
    SystemRecord,
)
from stabench.harness.runs.run_folder import RunFolder, on_random_weights
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency
from stabench.harness.suites.suite import SystemUse
from stabench.harness.tasks.task import DEFAULT, Task, load_task

STALE = "the run went on after it was scored; stabench score RUN"


def current(run: RunFolder, metrics: MetricsFile | None) -> MetricsFile | None:
    """The scores, without those of systems whose sounds are other ones now."""
    if metrics is None:
        return None
    rows = run.rows()
    stale = {name for name, one in metrics.systems.items() if _stale(name, one, rows)}
    if not stale:
        return metrics
    systems = {
        name: _emptied(one) if name in stale else one for name, one in metrics.systems.items()
    }
    paired = tuple(one for one in metrics.paired if not {one.a, one.b} & stale)
    return metrics.model_copy(update={"systems": systems, "paired": paired})


def _stale(name: str, scored: SystemRecord, rows: Sequence[Row]) -> bool:
    """Whether the journal names other sounds; of a system that was not heard, other clips."""
    own = [row for row in rows if row.system == name and row.ok and not row.repeat]
    if scored.audio_sha256 is None:
        return scored.n != len(own)
    return scored.audio_sha256 != audio_digest.of_outputs(own, scored.failures)


def _emptied(scored: SystemRecord) -> SystemRecord:
    cells = {column: Estimate.missing(STALE, cell.n) for column, cell in scored.cells.items()}
    return scored.model_copy(update={"cells": cells, "per_clip": {}, "input_dependence": {}})


@dataclass(frozen=True)
class Results:
    """A run (its journal and records), scores, or both."""

    folder: Path
    run: RunFolder | None
    metrics: MetricsFile | None

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results in a folder ("latest": the last run). Raises MissingError without any."""
        path = Path(path)
        if (path / metrics_file.NAME).exists() and not (path / "run.json").exists():
            return cls(path, None, metrics_file.read(path))
        run = RunFolder.open(path)
        return cls(run.path, run, current(run, metrics_file.read(run.path)))

    @property
    def task_name(self) -> str:
        """What the registry calls the task of the run, or of what was scored."""
        if self.run:
            return self.run.suite.task
        return self.metrics.task if self.metrics else DEFAULT

    @cached_property
    def task(self) -> Task:
        """The task itself."""
        return self.run.task if self.run else load_task(self.task_name)

    @cached_property
    def trials(self) -> list[Trial]:
        """The measured rows of the journal, ok and failed ones."""
        return self.run.rows() if self.run else []

    def timed(self, system: str) -> list[Trial]:
        """The rows whose times count; none where times are not latencies."""
        return [] if self.untimed else timed(self.trials, system)

    @cached_property
    def untimed(self) -> str | None:
        """Why no latency can be shown, or None."""
        if self.run is None:
            return "scored from files, not timed"
        if self.run.suite.protocol.scenario == "offline":
            return "offline run: a batch has no latency"
        return None

    def latency(self, system: str, phase: str) -> Latency | str:
        """The wall times of a phase, or why there are none."""
        if self.run is None or self.untimed:
            return self.untimed or ""
        rows = self.timed(system)
        measured = [row.phase_ns[phase] for row in rows if phase in row.phase_ns]
        if not measured and rows:
            return f"not run (--phase {self.run.record.request.phase})"
        clips = [row.clip for row in rows if phase in row.phase_ns]
        protocol = self.run.suite.protocol
        return Latency(measured, clips, resamples=protocol.bootstrap, seed=protocol.seed)

    @property
    def paired(self) -> tuple[DifferenceRecord, ...]:
        """Paired differences, but for systems on random weights: they have no quality."""
        uses = self.run.suite.systems if self.run else ()
        random = {use.name for use in uses if self.random(use)}
        found = self.metrics.paired if self.metrics else ()
        return tuple(one for one in found if not {one.a, one.b} & random)

    def random(self, use: SystemUse) -> bool:
        """Whether a system ran on random weights."""
        return self.run is not None and on_random_weights(self.run, use)


class Stage(NamedTuple):
    """Mean of one stage over all rows, with its share of both phases together (0 to 1)."""

    phase: str
    name: str
    mean_ns: float
    share: float
    device_ns: float | None


def timed(rows: Iterable[Row], system: str) -> list[Row]:
    """The rows of `system` that count: finished, and no warm-up."""
    return [row for row in rows if row.system == system and row.ok and not row.warmup]


def stages(rows: Sequence[Row]) -> list[Stage]:
    """Means over `timed` rows, in the order of the clock; each phase ends with its remainder.

    A stage that some rows lack counts there as 0, so that the stages add up to the mean phase.
    `device_ns` is None where a row has none (a CPU, or the remainder).
    """
    wall_ns: dict[tuple[str, str], int] = defaultdict(int)
    device_ns: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for phase, name, wall, device in (part for row in rows for part in _parts(row)):
        wall_ns[phase, name] += wall
        device_ns[phase, name].append(device)
    total_ns = sum(wall_ns.values()) or 1
    phases = list(dict.fromkeys(phase for row in rows for phase in row.phase_ns))
    return [
        Stage(*key, wall_ns[key] / len(rows), wall_ns[key] / total_ns, _mean(device_ns[key], rows))
        # In the order of the clock, the remainder last in each phase.
        for key in sorted(wall_ns, key=lambda key: (phases.index(key[0]), key[1] == REMAINDER))
    ]


def _parts(row: Row) -> Iterable[Span]:
    """The row's stages, and what is left of each phase that ran."""
    yield from row.spans
    for phase in row.phase_ns:
        remainder_ns = row.remainder_ns(phase)
        if remainder_ns is not None:
            yield Span(phase, REMAINDER, remainder_ns)


def _mean(device_ns: list[int | None], rows: Sequence[Row]) -> float | None:
    known = [one for one in device_ns if one is not None]
    return sum(known) / len(rows) if len(known) == len(device_ns) else None
