"""Results: what a folder holds, read for the report without torch or the metrics.

A statistic of the times is computed when it is first asked for and kept on the `Results`: all
sections and formats of a report, and a comparison, show the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from stabench.harness.datasets.conditions.condition import CLEAN
from stabench.harness.datasets.conditions.rendering import UNDER
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.runs import audio_digest, metrics_file
from stabench.harness.runs.audio_digest import find_copies
from stabench.harness.runs.differences import adjust_records, measure_difference, measure_ratio
from stabench.harness.runs.journal import JOINED, Row
from stabench.harness.runs.journal import Row as Trial
from stabench.harness.runs.metrics_file import (
    DifferenceRecord,
    MetricsFile,
    SystemRecord,
)
from stabench.harness.runs.run_folder import RunFolder, on_random_weights
from stabench.harness.runs.timings import (
    Read,
    Stage,
    Timing,
    clip_times,
    list_timings,
    stages,
    timed,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency
from stabench.harness.stats.permutation import LEAST_UNITS
from stabench.harness.suites.suite import SystemUse
from stabench.harness.tasks.task import DEFAULT, TOTAL, Task, load_task

SHARED = "not run under this condition: it reads the true caption, its sounds are the clean ones"
STALE = "the run went on after it was scored; stabench score RUN"


def current(rows: Sequence[Row], metrics: MetricsFile | None) -> MetricsFile | None:
    """Return the scores, emptied for systems whose sounds in `rows` are other ones by now."""
    if metrics is None:
        return None
    stale = {name for name, scored in metrics.systems.items() if _is_stale(name, scored, rows)}
    if not stale:
        return metrics
    systems = {
        name: scored.model_copy(
            update={
                "cells": {
                    column: Estimate.missing(STALE, cell.n) for column, cell in scored.cells.items()
                },
                "per_clip": {},
                "input_dependence": {},
            }
        )
        if name in stale
        else scored
        for name, scored in metrics.systems.items()
    }
    paired = tuple(record for record in metrics.paired if not {record.a, record.b} & stale)
    return metrics.model_copy(update={"systems": systems, "paired": paired})


def split_condition(path: Path | str) -> tuple[Path, str]:
    """Return the run and the condition of RUN@CONDITION, or the path and "" for another one."""
    place, mark, condition = str(path).rpartition(UNDER)
    if not mark or not place or "/" in condition or Path(path).exists():
        return Path(path), ""
    return Path(place), condition


def _is_stale(name: str, scored: SystemRecord, rows: Sequence[Row]) -> bool:
    """Return whether the journal names other sounds; of a system not heard, other clips."""
    outputs = [row for row in rows if row.system == name and row.ok and not row.repeat]
    if scored.audio_sha256 is None:
        return scored.n != len(outputs)
    return scored.audio_sha256 != audio_digest.of_outputs(outputs, scored.failures)


@dataclass(frozen=True)
class Results:
    """A run (its journal and records), scores, or both.

    `trials` are the measured rows of the journal, ok and failed ones. Of a run with conditions they
    are those of one: of `condition`, or of the clean speech where none was named.
    """

    folder: Path
    run: RunFolder | None
    metrics: MetricsFile | None
    trials: list[Trial] = field(default_factory=list, repr=False)
    condition: str | None = None

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Return the results in a folder ("latest": the last run, "latest~1": the one before).

        RUN@CONDITION are those under one condition; RUN alone are those of the clean speech.
        Raises MissingError without any, StabenchError for a condition that the run has not.
        """
        place, condition = split_condition(path)
        if condition:
            return cls.read(place).under(condition)
        path = Path(path)
        if (path / metrics_file.NAME).exists() and not (path / "run.json").exists():
            return cls(path, None, metrics_file.read(path))
        run = RunFolder.open(path)
        rows = run.rows()
        return cls(run.path, run, current(rows, metrics_file.read(run.path)), rows)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions of the run, without the clean speech."""
        return self.run.conditions if self.run else ()

    def under(self, condition: str) -> "Results":
        """Return the results under one condition of the run, or for the clean speech.

        Raises StabenchError with the nearest match for one that the run has not.
        """
        names = (CLEAN, *self.conditions) if self.run else ()
        if self.run is None or condition not in names:
            raise StabenchError(f"'{self.folder}': {unknown('condition', condition, names)}")
        if condition not in self._views:
            self._views[condition] = self._read_view(self.run, condition)
        return self._views[condition]

    def _read_view(self, run: RunFolder, condition: str) -> "Results":
        folder, rows = run.scores_path(condition), run.rows(condition=condition)
        return Results(folder, run, current(rows, metrics_file.read(folder)), rows, condition)

    def check_one_condition(self) -> None:
        """Raise StabenchError for a run with conditions of which none was named.

        Whoever gives one verdict on a run must say on which speech.
        """
        if self.conditions and self.condition is None:
            names = " or ".join(
                f"{self.folder}{UNDER}{name}" for name in (CLEAN, self.conditions[0])
            )
            raise StabenchError(
                f"run '{self.folder}' has conditions ({', '.join(self.conditions)}): say which "
                f"one, such as {names}"
            )

    @property
    def home(self) -> Path:
        """The run folder, also of one condition; of scores their folder."""
        return self.run.path if self.run else self.folder

    @property
    def title(self) -> str:
        """The name of the folder, or RUN@CONDITION where one was named."""
        return f"{self.home.name}{UNDER}{self.condition}" if self.condition else self.home.name

    def is_shared(self, system: str) -> bool:
        """Return whether a system was not run under this condition: its rows are the clean ones."""
        heard = self.condition not in (None, CLEAN)
        return heard and self.run is not None and self.run.is_told(system)

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
    def untimed(self) -> str | None:
        """Why no latency can be shown, or None."""
        if self.run is None:
            return "scored from files, not timed"
        if self.run.suite.run.scenario == "offline":
            return "offline run: a batch has no latency"
        return None

    @cached_property
    def _replayed(self) -> frozenset[str]:
        """Names of the systems that played back what was made elsewhere."""
        about = self.run.about_systems() if self.run else {}
        return frozenset(name for name, known in about.items() if known.get("replays"))

    def is_timed(self, system: str) -> bool:
        """Return whether the times of a system are latencies."""
        kept = system in self._replayed or self.is_shared(system)
        return self.untimed is None and not kept

    @cached_property
    def copies(self) -> dict[str, str]:
        """The first clip with the same speech, of clips that are copies of it.

        Times of copies are repeats of one clip: they tell nothing about other clips.
        """
        return find_copies({clip.id: clip.speech for clip in self.run.clips}) if self.run else {}

    def timed(self, system: str) -> list[Trial]:
        """Return the rows whose times count; none where times are not latencies."""
        if not self.is_timed(system):
            return []
        if system not in self._timed:
            self._timed[system] = timed(self.trials, system)
        return self._timed[system]

    @cached_property
    def timings(self) -> tuple[Timing, ...]:
        """The columns of time: those of the phases, then their total and the real-time factor."""
        return list_timings(self.task)

    def latency(self, system: str, timing: str) -> Latency | str:
        """Return the times of a phase, or of another of `timings`, ns; or why there are none."""
        if (system, timing) not in self._latencies:
            self._latencies[system, timing] = self._measure_latency(system, self._find(timing))
        return self._latencies[system, timing]

    def stages(self, system: str) -> list[Stage]:
        """Return the means of the stages of a system; none where times are not latencies."""
        if system not in self._stages:
            self._stages[system] = stages(self.timed(system))
        return self._stages[system]

    # A frozen dataclass cannot be a key of functools.cache (its scores are not hashable), so what
    # takes an argument is kept in a table on the object.
    @cached_property
    def _views(self) -> dict[str, "Results"]:
        return {}

    @cached_property
    def _timed(self) -> dict[str, list[Trial]]:
        return {}

    @cached_property
    def _latencies(self) -> dict[tuple[str, str], Latency | str]:
        return {}

    @cached_property
    def _stages(self) -> dict[str, list[Stage]]:
        return {}

    def _find(self, timing: str) -> Timing:
        by_name = {each.name: each for each in self.timings}
        return by_name[timing]

    def _measure_latency(self, system: str, timing: Timing) -> Latency | str:
        if self.run is None or self.untimed:
            return self.untimed or ""
        if system in self._replayed:
            return "played back from files, not timed"
        if self.is_shared(system):
            return SHARED
        rows = self.timed(system)
        measured = [
            (self.copies.get(row.clip, row.clip), wall)
            for row in rows
            if (wall := timing.read(row)) is not None
        ]
        if not measured and rows:
            if any(JOINED in name for row in rows for name in row.phase_ns):
                return f"not measured apart: it does everything at once, see {TOTAL.label}"
            return f"not run (--phase {self.run.record.request.phase})"
        clips, walls_ns = [clip for clip, _ in measured], [wall for _, wall in measured]
        settings = self.run.suite.run
        return Latency(walls_ns, clips, resamples=settings.bootstrap, seed=settings.seed)

    def _clip_times(self, system: str, read: Read) -> dict[str, float]:
        return clip_times(self.timed(system), read, self.copies)

    @cached_property
    def paired_latencies(self) -> tuple[DifferenceRecord, ...]:
        """Differences of mean times in the columns and units of the table, every pair once.

        Intervals are 95 % bootstrap intervals over clips, as those of the table: clips that were
        measured one after the other stay together (harness/stats/bootstrap.py).
        """
        if self.run is None:
            return ()
        names, settings = [use.name for use in self.run.suite.systems], self.run.suite.run
        records = []
        for timing in self.timings:
            times = {name: self._clip_times(name, timing.read) for name in names}
            for a, b in combinations(names, 2):
                clips = [clip for clip in times[a] if clip in times[b]]
                if len(clips) > 1:
                    minus = np.array([times[a][clip] - times[b][clip] for clip in clips])
                    key, unit_ns = timing.column.key, timing.unit_ns
                    difference = measure_difference(minus / unit_ns, settings)
                    record = DifferenceRecord(a=a, b=b, column=key, difference=difference)
                    records.append(record)
        return tuple(records)

    def latency_ratio(self, a: str, b: str, phase: str) -> Estimate:
        """Return the mean time of system `a` over that of `b` on the clips both have.

        Without a value it says why there is none.
        """
        if self.run is None or self.untimed:
            return Estimate.missing(self.untimed or "not timed")
        if replayed := self._replayed & {a, b}:
            return Estimate.missing(f"{min(replayed)} is played back from files, not timed")
        read = self._find(phase).read
        mine, theirs = (self._clip_times(name, read) for name in (a, b))
        clips = [clip for clip in mine if clip in theirs]
        if len(clips) < 2:
            return Estimate.missing(f"needs at least 2 timed clips, has {len(clips)}", len(clips))
        above, below = (np.array([times[clip] for clip in clips]) for times in (mine, theirs))
        return measure_ratio(above, below, self.run.suite.run)

    @cached_property
    def paired(self) -> tuple[DifferenceRecord, ...]:
        """Paired differences, but for systems on random weights: they have no quality."""
        records = self.metrics.paired if self.metrics else ()
        return tuple(record for record in records if not {record.a, record.b} & self.random_systems)

    @cached_property
    def judged(self) -> tuple[DifferenceRecord, ...]:
        """Paired differences of quality, p-values adjusted over all of them (Holm).

        Of few different clips none has a p-value: copies of a clip count once.
        """
        known = self.different_clips
        return (
            adjust_records(self.paired)
            if known is None or known >= LEAST_UNITS
            else tuple(
                record.model_copy(update={"difference": record.difference._replace(p_value=None)})
                for record in self.paired
            )
        )

    @property
    def different_clips(self) -> int | None:
        """How many clips were scored that are no copies of another, or None before scoring."""
        if self.metrics is None:
            return None
        # Groups may also be of recordings alone.
        return min(self.metrics.n_clips, self.metrics.provenance.groups)

    @cached_property
    def judged_latencies(self) -> tuple[DifferenceRecord, ...]:
        """Those of times, which are a family of their own."""
        return adjust_records(self.paired_latencies)

    @cached_property
    def random_systems(self) -> frozenset[str]:
        """Names of the systems that ran on random weights."""
        if self.run is None:
            return frozenset()
        uses = self.run.suite.systems
        return frozenset(use.name for use in uses if on_random_weights(self.run, use))

    def random(self, use: SystemUse) -> bool:
        """Return whether a system ran on random weights."""
        return use.name in self.random_systems
