"""The clip table: clips.parquet, a row for each clip and system, for the reader's own analysis."""

import io
from collections.abc import Mapping
from typing import Any

from stabench.harness.runs.journal import Row
from stabench.harness.runs.metrics_file import SystemRecord
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.tasks.task import Task
from stabench.metrics.wer import word_errors

NAME = "clips.parquet"


def clip_table(
    exam: Exam,
    systems: Mapping[str, SystemRecord],
    trials: Mapping[tuple[str, str], Row],
    task: Task,
) -> bytes:
    """Return clips.parquet from `systems` of metrics.json and the measured rows of a run, if any.

    Columns: system, clip, ok, reason, caption, transcript, word_errors, words, one for each
    metric that is a mean over clips, <phase>_ns for each phase of the `task`. What is not known is
    null.
    """
    import pyarrow as pa
    from pyarrow import parquet

    measured = {
        column: None
        for part in systems.values()
        for values in part.per_clip.values()
        for column in values
    }
    rows = [
        _make_row(exam, name, clip, part, trials.get((name, clip)), tuple(measured))
        for name, part in systems.items()
        for clip in sorted(
            {*part.per_clip, *part.failures, *(clip for system, clip in trials if system == name)}
        )
    ]
    types = {"system": pa.string(), "clip": pa.string(), "ok": pa.bool_(), "reason": pa.string()}
    types |= {"caption": pa.string(), "transcript": pa.string()}
    types |= {"word_errors": pa.int32(), "words": pa.int32()}
    types |= {column: pa.float64() for column in measured}
    types |= {f"{phase}_ns": pa.int64() for phase in task.phase_names}
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=pa.schema(types.items()))
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _make_row(
    exam: Exam,
    system: str,
    clip: str,
    part: SystemRecord,
    trial: Row | None,
    columns: tuple[str, ...],
) -> dict[str, Any]:
    # A clip of the journal may be none of the exam: it has a row, and nothing is known of it.
    item = exam.items.get(clip, Item())
    text = trial.text if trial else None
    wrong = word_errors(item.said, text) if item.said and text is not None else (None, None)
    values = part.per_clip.get(clip, {})
    return {
        "system": system,
        "clip": clip,
        "ok": clip not in part.failures,
        "reason": part.failures.get(clip),
        "caption": " | ".join(item.captions) or None,
        "transcript": text,
        "word_errors": wrong[0],
        "words": wrong[1],
        **{column: values.get(column) for column in columns},
        **{f"{phase}_ns": ns for phase, ns in (trial.phase_ns if trial else {}).items()},
    }
