"""Results: what a folder holds, read for the report without torch or the metrics."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from harness import metrics_file, staleness
from harness.journal import Row as Trial
from harness.latency import Latency, timed
from harness.metrics_file import DifferenceRecord, MetricsFile
from harness.random_weights import on_random_weights
from harness.run_folder import RunFolder
from harness.suite import SystemUse

Phase = Literal["represent", "generate"]


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
        return cls(run.path, run, staleness.current(run, metrics_file.read(run.path)))

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

    def latency(self, system: str, phase: Phase) -> Latency | str:
        """The wall times of a phase, or why there are none."""
        if self.run is None or self.untimed:
            return self.untimed or ""
        rows = self.timed(system)
        walls = [row.represent_ns if phase == "represent" else row.generate_ns for row in rows]
        measured = [wall for wall in walls if wall is not None]
        if not measured and walls:
            return "not run (--phase represent)"
        clips = [row.clip for row, wall in zip(rows, walls, strict=True) if wall is not None]
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
