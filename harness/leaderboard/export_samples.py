"""Lines of samples for an export: each clip's own value under each metric that has one."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from stabench.harness.compare.read_evidence import read_wer
from stabench.harness.datasets.dataset import Clip
from stabench.harness.history.history import HistoryRecord
from stabench.harness.leaderboard import every_eval_ever as eee
from stabench.harness.report.table import Row
from stabench.harness.runs import journal
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.submission import cards
from stabench.harness.suites.suite import SystemUse
from stabench.harness.tasks.task import Column
from stabench.metrics.registry import WER

NO_TRUTH = "false as the format requires a value; this metric says how well, not whether"
REMARKS = {
    "is_correct": NO_TRUTH,
    "output.raw": "sha256 of the sound as little-endian float32 samples; a sound is no text",
}


@dataclass(frozen=True)
class Subject:
    """One system of a run: what an export is made of. `columns` and `row` are of its table."""

    results: Results
    folder: RunFolder
    recorded: HistoryRecord
    columns: Sequence[Column]
    row: Row
    use: SystemUse
    model_id: str

    @cached_property
    def evaluation_id(self) -> str:
        """The suite, the model, the run: a copy of the run's folder has the same one."""
        return f"stabench-{self.recorded.suite.name}/{self.model_id}/{self.recorded.run}"

    @cached_property
    def measured(self) -> dict[str, Column]:
        """Columns with a number, by key, in the order of the table."""
        cells = self.row.cells
        return {
            column.key: column for column in self.columns if cells[column.key].value is not None
        }

    @cached_property
    def trials(self) -> list[journal.Row]:
        """The measured rows of the journal, ok and failed ones."""
        return [trial for trial in self.results.trials if trial.system == self.use.name]

    @cached_property
    def timed(self) -> dict[str, list[journal.Row]]:
        """The rows of each clip whose times count: one for each repeat."""
        trials = defaultdict(list)
        for trial in self.results.timed(self.use.name):
            trials[trial.clip].append(trial)
        return dict(trials)

    @cached_property
    def failed(self) -> dict[str, str]:
        """Why clips have no result, by clip: in the run, or when they were scored."""
        scored = self.results.metrics
        failures = dict(scored.systems[self.use.name].failures) if scored else {}
        return {**failures, **cards.failed_clips(self.trials)}

    @cached_property
    def words(self) -> dict[str, tuple[int, int]]:
        """Word errors and words of the caption, by clip, as scoring kept them."""
        counts = read_wer(self.folder.path, self.use.name)
        return {clip: (errors, words) for clip, (errors, words) in counts.items() if words}

    @cached_property
    def values(self) -> dict[str, dict[str, float]]:
        """Column -> clip -> the clip's own value, in the unit of the column.

        A latency is the mean over the clip's repeats, a word error rate that of the clip alone.
        """
        values: dict[str, dict[str, float]] = defaultdict(dict)
        scored = self.results.metrics
        for clip, columns in (scored.systems[self.use.name].per_clip if scored else {}).items():
            for key, value in columns.items():
                values[key][clip] = value
        if WER in self.measured and WER not in values:
            values[WER] = {clip: wrong / words for clip, (wrong, words) in self.words.items()}
        for phase in self.results.task.phases:
            for clip, trials in self.timed.items():
                if walls := [t.phase_ns[phase.name] for t in trials if phase.name in t.phase_ns]:
                    values[phase.column.key][clip] = sum(walls) / len(walls) / phase.unit_ns
        return dict(values)


def list_samples(subject: Subject) -> Iterator[eee.Sample]:
    """Yield a line for each clip under each metric of which the clip has a value of its own.

    Clips are in the dataset's order. A clip that failed has none.
    """
    firsts = cards.first_rows(subject.trials)
    for clip in subject.folder.clips:
        trial = firsts.get(clip.id)
        if trial is None or not trial.ok:
            continue
        captions = clip.judged_by or ((clip.caption,) if clip.caption else ())
        asked = eee.SampleInput(raw=clip.caption or clip.id, reference=captions)
        hashed = cards.digest({"raw": asked.raw, "reference": list(captions)})
        sound = (f"sha256:{trial.audio_sha256}",) if trial.audio_sha256 else ()
        for key, column in subject.measured.items():
            value = subject.values.get(key, {}).get(clip.id)
            if value is None:
                continue
            yield eee.Sample(
                evaluation_id=subject.evaluation_id,
                model_id=subject.model_id,
                evaluation_name=f"{subject.recorded.suite.name}.{key}",
                evaluation_result_id=f"{subject.evaluation_id}/{key}",
                sample_id=clip.id,
                # Without a caption `raw` is only the clip's id, and a hash of it is of no input.
                sample_hash=hashed if clip.caption else None,
                input=asked,
                output=eee.SampleOutput(raw=sound),
                evaluation=eee.SampleEvaluation(score=value, is_correct=False),
                performance=_measure_performance(subject, clip.id),
                metadata=_list_metadata(subject, column, clip, trial),
            )


def _measure_performance(subject: Subject, clip: str) -> eee.Performance | None:
    """Return a clip's wall times, means over its repeats: of all phases, and of the last."""
    phases = subject.results.task.phase_names
    # A run of the first phases only (--phase) has no time of the last.
    whole = [row for row in subject.timed.get(clip, []) if row.phase_ns.keys() == set(phases)]
    if not whole:
        return None
    return eee.Performance(
        latency_ms=sum(sum(row.phase_ns.values()) for row in whole) / len(whole) / 1e6,
        generation_time_ms=sum(row.phase_ns[phases[-1]] for row in whole) / len(whole) / 1e6,
    )


def _list_metadata(subject: Subject, column: Column, clip: Clip, trial: journal.Row) -> eee.Details:
    """Return what else is known of a line, as texts."""
    facts: dict[str, object] = {
        "input.raw": "the caption that is spoken" if clip.caption else "the clip's id: no caption",
        "is_correct": NO_TRUTH,
        "unit": column.unit,
        "labels": ", ".join(clip.labels),
        "transcript": trial.text,
        "samples": trial.samples,
        "rate_hz": trial.rate_hz,
    }
    if subject.results.task.phase_of(column.key):
        facts["repeats"] = len(subject.timed[clip.id])
    elif column.key == WER and clip.id in subject.words:
        facts["word_errors"], facts["words"] = subject.words[clip.id]
    return {key: str(value) for key, value in facts.items() if value not in (None, "")}


def to_json(part: eee.Part, indent: int | None = None) -> str:
    """Return a part of the format as JSON, without what is not known."""
    value = part.model_dump(mode="json", exclude_none=True)
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
