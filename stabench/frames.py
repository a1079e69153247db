"""What a run holds, as pandas frames. A missing value is missing (NaN or NA), never a text.

Texts are pandas' `string`, counts and nanoseconds `Int64`, measured numbers `float64`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from stabench.harness.compare.compare import Comparison
from stabench.harness.report.table import Table
from stabench.harness.reproduce.paper import SEEN
from stabench.harness.reproduce.reproduce import Judged
from stabench.harness.runs.journal import Row
from stabench.harness.runs.results import Results
from stabench.harness.runs.timings import list_spans
from stabench.harness.scoring.clip_table import NAME as CLIP_TABLE

TEXT, COUNT, NUMBER, FLAG = "string", "Int64", "float64", "boolean"
ESTIMATE = {"value": NUMBER, "low": NUMBER, "high": NUMBER, "sd": NUMBER, "p_value": NUMBER}

CELLS = {
    "system": TEXT,
    "label": TEXT,
    "paradigm": TEXT,
    "column": TEXT,
    "column_label": TEXT,
    "block": TEXT,
    **ESTIMATE,
    "n": COUNT,
    "unit": TEXT,
    "better": TEXT,
    "reason": TEXT,
}
CLIPS = {
    "system": TEXT,
    "clip": TEXT,
    "ok": FLAG,
    "reason": TEXT,
    "caption": TEXT,
    "transcript": TEXT,
    "word_errors": COUNT,
    "words": COUNT,
}
STAGES = {
    "system": TEXT,
    "clip": TEXT,
    "repeat": COUNT,
    "phase": TEXT,
    "stage": TEXT,
    "wall_ns": COUNT,
    "device_ns": COUNT,
}
DIFFERENCES = {
    "a": TEXT,
    "b": TEXT,
    "column": TEXT,
    "difference": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "n": COUNT,
    "unit": TEXT,
}
FIGURES = {
    "paper": TEXT,
    "seen": TEXT,
    "kind": TEXT,
    "figure": TEXT,
    "systems": TEXT,
    "published": NUMBER,
    "pm": NUMBER,
    "unit": TEXT,
    "value": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "outcome": TEXT,
    "sigmas": NUMBER,
    "reasons": TEXT,
}
LINES = {
    "system": TEXT,
    "metric": TEXT,
    "metric_label": TEXT,
    "block": TEXT,
    "verdict": TEXT,
    "old": NUMBER,
    "new": NUMBER,
    "change": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "n": COUNT,
    "p_value": NUMBER,
    "p_adjusted": NUMBER,
    "unit": TEXT,
    "better": TEXT,
    "reason": TEXT,
}


def make_frame(rows: Iterable[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    """Return a frame of `rows` with the columns and types of `types`."""
    kept = list(rows)
    return pd.DataFrame(
        {
            name: pd.array([row.get(name) for row in kept], dtype=kind)
            for name, kind in types.items()
        }
    )


def cells(table: Table) -> pd.DataFrame:
    """Return the table, a row for each system (or sanity row) and column.

    Units are those of the table: `unit` is "ms" or "s" for latencies, empty for pure numbers.
    """
    columns = {column.key: column for column in table.columns}
    return make_frame(
        (
            {
                "system": row.system,
                "label": row.label,
                "paradigm": row.paradigm,
                "column": key,
                "column_label": columns[key].label,
                "block": columns[key].block,
                **{name: getattr(cell, name) for name in (*ESTIMATE, "n")},
                "unit": columns[key].unit,
                "better": columns[key].better,
                "reason": cell.reason,
            }
            for row in table.rows
            for key, cell in row.cells.items()
        ),
        CELLS,
    )


def clips(results: Results) -> pd.DataFrame:
    """Return a row for each system and clip: clips.parquet, or of an unscored run its journal.

    After the columns of `CLIPS` one for each metric that is a mean over clips, then <phase>_ns.
    Values of sounds that the run has replaced since it was scored are missing.
    """
    path = results.folder / CLIP_TABLE
    phases = [f"{phase}_ns" for phase in results.task.phase_names]
    if not path.exists():
        return make_frame(_list_trials(results), {**CLIPS, **dict.fromkeys(phases, COUNT)})
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        rows = file.read()
    metrics = [name for name in rows.column_names if name not in (*CLIPS, *phases)]
    types = {**CLIPS, **dict.fromkeys(metrics, NUMBER), **dict.fromkeys(phases, COUNT)}
    frame = pd.DataFrame(
        {
            name: pd.array(rows.column(name).to_pylist(), dtype=kind)
            for name, kind in types.items()
            if name in rows.column_names
        }
    )
    scored = results.metrics.systems if results.metrics else {}
    stale = [
        name for name in frame["system"].unique() if not (of := scored.get(name)) or not of.per_clip
    ]
    frame.loc[frame["system"].isin(stale), metrics] = np.nan
    return frame


def _list_trials(results: Results) -> Iterable[dict[str, Any]]:
    captions = {clip.id: clip.caption for clip in results.run.clips} if results.run else {}
    for row in results.trials:
        if not row.repeat:
            yield {
                "system": row.system,
                "clip": row.clip,
                "ok": row.ok,
                "reason": f"{row.error.kind}: {row.error.message}" if row.error else None,
                "caption": captions.get(row.clip),
                "transcript": row.text,
                **{f"{phase}_ns": wall for phase, wall in row.phase_ns.items()},
            }


def stages(rows: Iterable[Row]) -> pd.DataFrame:
    """Return a row for each stage of each of `rows` that finished.

    The stages of a phase, with the one called "remainder", add up to its wall time. `device_ns` is
    by the device's own clock, missing on a CPU.
    """
    return make_frame(
        (
            {
                "system": row.system,
                "clip": row.clip,
                "repeat": row.repeat,
                "phase": span.phase,
                "stage": span.name,
                "wall_ns": span.wall_ns,
                "device_ns": span.device_ns,
            }
            for row in rows
            if row.ok
            for span in list_spans(row)
        ),
        STAGES,
    )


def differences(results: Results, table: Table) -> pd.DataFrame:
    """Return system `a` minus system `b` on the clips that both have, with 95 % intervals."""
    units = {column.key: column.unit for column in table.columns}
    return make_frame(
        (
            {
                "a": record.a,
                "b": record.b,
                "column": record.column,
                "difference": record.difference.value,
                "low": record.difference.low,
                "high": record.difference.high,
                "n": record.difference.n,
                "unit": units.get(record.column, ""),
            }
            for record in (*results.paired_latencies, *results.paired)
        ),
        DIFFERENCES,
    )


def figures(judged: Iterable[Judged]) -> pd.DataFrame:
    """Return a row for each published figure, with the run's value and the verdict on it."""
    return make_frame(
        (
            {
                "paper": paper.name,
                "seen": SEEN[paper.source.seen],
                "kind": verdict.kind,
                "figure": verdict.figure,
                "systems": ", ".join(verdict.systems),
                "published": verdict.published.value,
                "pm": verdict.published.pm,
                "unit": verdict.published.unit,
                "value": verdict.run.value,
                "low": verdict.run.low,
                "high": verdict.run.high,
                "outcome": verdict.outcome,
                "sigmas": verdict.sigmas,
                "reasons": "; ".join(verdict.reasons) or None,
            }
            for paper, verdicts in judged
            for verdict in verdicts
        ),
        FIGURES,
    )


def lines(judgement: Comparison) -> pd.DataFrame:
    """Return a row for each system and metric of a comparison; times are in ns, changes ratios."""
    return make_frame(
        (
            {
                "system": system.new,
                "metric": line.key,
                "metric_label": line.label,
                "block": line.block,
                "verdict": line.verdict,
                **(
                    {
                        name: getattr(line.change, name)
                        for name in ("old", "new", "change", "low", "high", "n", "p_value")
                    }
                    if line.change
                    else {}
                ),
                "p_adjusted": line.p_adjusted,
                # Times are compared as they were measured; the page alone prints milliseconds.
                "unit": "ns" if line.block in ("latency", "stage") else line.unit,
                "better": line.better,
                "reason": line.reason or None,
            }
            for system in judgement.systems
            for line in system.lines
        ),
        LINES,
    )
