"""A submission, opened for reading: the same frames as of a run, with the numbers as claimed.

Nothing is recomputed: `stabench check-submission` does that.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stabench.harness.errors import StabenchError
from stabench.harness.submission.findings import Broken
from stabench.harness.submission.package import open_package
from stabench.harness.tasks.task import Task, load_task

if TYPE_CHECKING:
    from pandas import DataFrame


class SubmittedRun:
    """What `stabench submit` packed: one system of a run."""

    def __init__(self, path: Path) -> None:
        """Read the package. Raises MissingError without it, StabenchError for a damaged one."""
        self.path = path
        try:
            self.package = open_package(path)
        except Broken as fault:
            hint = f"stabench check-submission {path} says all that is wrong"
            raise StabenchError(f"submission '{path}': {fault}; {hint}") from None
        self.submission = self.package.submission

    @property
    def systems(self) -> list[str]:
        """The name of its only system."""
        return [self.submission.system.name]

    @property
    def _task(self) -> Task:
        return load_task(self.submission.suite.task)

    @cached_property
    def cells(self) -> "DataFrame":
        """The claims: a row for each column (see `stabench.frames.CELLS`)."""
        from stabench import frames

        system = self.submission.system
        who = {"system": system.name, "label": system.label, "paradigm": system.paradigm}
        rows = (*self._list_latencies(), *self._list_metrics())
        return frames.make_frame(({**who, **row} for row in rows), frames.CELLS)

    def _list_latencies(self) -> Iterator[dict[str, Any]]:
        """Yield the mean of each phase, in the unit of its column."""
        for name, column, unit_ns in self._task.phases:
            row: dict[str, Any] = {"column": column.key, "column_label": column.label}
            row |= {"block": "latency", "unit": column.unit, "better": column.better}
            phase = self.submission.latency.phases.get(name)
            if phase is None:
                yield row | {"reason": self.submission.latency.reason or "not measured"}
                continue
            ends = {end: getattr(phase.mean_ns, end) for end in ("value", "low", "high")}
            ends["sd"] = phase.sd_ns
            scaled = {end: None if ns is None else ns / unit_ns for end, ns in ends.items()}
            yield row | scaled | {"n": phase.clips}

    def _list_metrics(self) -> Iterator[dict[str, Any]]:
        for key, card in self.submission.metrics.items():
            fields = ("value", "low", "high", "p_value", "n", "unit", "better", "reason")
            row = {name: getattr(card, name) for name in fields}
            yield row | {"column": key, "column_label": card.label, "block": "quality"}

    @cached_property
    def clips(self) -> "DataFrame":
        """A row for each clip: transcript, its values as claimed, times in ns."""
        from stabench import frames
        from stabench.metrics.wer import word_errors

        claimed = self.submission
        metrics = sorted({key for output in claimed.outputs.values() for key in output.values})
        phases = [f"{name}_ns" for name in self._task.phase_names]
        types = frames.CLIPS | dict.fromkeys(metrics, frames.NUMBER)
        types |= dict.fromkeys(phases, frames.COUNT)
        rows = self.package.sources.rows
        trials = {row.clip: row for row in rows if not (row.repeat or row.warmup)}
        lines = []
        for clip in self.package.sources.record.dataset.clips:
            trial, output = trials.get(clip.id), claimed.outputs.get(clip.id)
            row: dict[str, Any] = {"system": claimed.system.name, "clip": clip.id}
            row |= {"ok": output is not None, "reason": claimed.failed.get(clip.id)}
            text = trial.text if trial else None
            row |= {"caption": clip.caption, "transcript": text}
            if clip.caption and text is not None:
                row["word_errors"], row["words"] = word_errors(clip.caption, text)
            row |= output.values if output else {}
            row |= {f"{name}_ns": ns for name, ns in (trial.phase_ns if trial else {}).items()}
            lines.append(row)
        return frames.make_frame(lines, types)

    @cached_property
    def stages(self) -> "DataFrame":
        """A row for each stage of each measured call, ns (see `stabench.frames.STAGES`)."""
        from stabench import frames

        return frames.stages(row for row in self.package.sources.rows if not row.warmup)

    def __repr__(self) -> str:
        return f"<stabench.SubmittedRun '{self.path}': {self.submission.system.name}>"
