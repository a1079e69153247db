"""Evidence read: from a run folder, "latest", scored folders, or a baseline file."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stabench.harness.compare.evidence import (
    ColumnEvidence,
    Evidence,
    Hardware,
    Samples,
    Settings,
    SystemEvidence,
)
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.runs import influence_file
from stabench.harness.runs.influence_file import Influences
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.metrics_file import ColumnHead, MetricsFile, SystemRecord
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.scoring.clip_table import NAME
from stabench.harness.stats.estimate import Estimate
from stabench.metrics.registry import WER

LOWEST = 0.0
NO_TRANSCRIPT = "clips.parquet does not hold the words of these scores; stabench score RUN"

Counts = dict[str, tuple[int, int]]
"""Errors and words of each clip."""


def read_wer(folder: Path, system: str) -> Counts:
    """What clips.parquet says of a system; nothing without the file."""
    path = folder / NAME
    if not path.exists():
        return {}
    import pyarrow as pa
    from pyarrow import parquet

    wanted = ["system", "clip", "word_errors", "words"]
    try:
        # By its path: a thread of Arrow that holds Python's bytes may abort Python as it ends.
        with parquet.ParquetFile(path) as file:
            rows = file.read(columns=wanted).to_pylist()
        return {
            row["clip"]: (row["word_errors"], row["words"])
            for row in rows
            if row["system"] == system and row["words"] is not None
        }
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StabenchError(f"{path}: not a table of clips ({error}); score again") from None


def pseudo_values(
    counts: Counts, value: float | None
) -> tuple[dict[str, float], dict[str, float], str | None]:
    """r + (errors - r words) / mean(words) of each clip, the words, or why there are none.

    Their mean is r = errors / words over all clips; they are its infinitesimal jackknife. `value`
    is what metrics.json says of r.
    """
    words = sum(count for _, count in counts.values())
    errors = sum(wrong for wrong, _ in counts.values())
    if value is None or not words or abs(errors / words - value) > 1e-12:
        return {}, {}, NO_TRANSCRIPT
    ratio, mean = errors / words, words / len(counts)
    found = {
        clip: ratio + (wrong - ratio * count) / mean for clip, (wrong, count) in counts.items()
    }
    return found, {clip: float(count) for clip, (_, count) in counts.items()}, None


UNKEPT = "scored before influences were kept; stabench score RUN"
OTHER = "the shares kept are those of other scores; stabench score RUN"
DERIVED = ("ceiling_share",)
"""Columns that say what another one says: recall over a constant."""
HEARING = ("identity", "rate_hz", "resampler", "channels", "mean_removed", "int16", "long")


def read(path: Path | str) -> Evidence:
    """What `path` holds. Raises MissingError where nothing is, StabenchError for another file."""
    path = Path(path)
    if path.is_file():
        return Evidence.from_bytes(path.read_bytes(), str(path))
    if not path.is_dir() and str(path) != "latest":
        raise MissingError(f"'{path}' is not there; give a run folder or a baseline file")
    return of(Results.read(path))


def of(results: Results) -> Evidence:
    """The evidence in a run, or in scored folders."""
    metrics, record = results.metrics, results.run.record if results.run else None
    kept = influence_file.read(results.folder)
    environment = record.environment if record else None
    return Evidence(
        schema=1,
        task=results.task_name,
        name=results.folder.name,
        made_at=record and (record.finished_at or record.started_at),
        suite=record and record.suite.name,
        suite_digest=record and _digest(record.suite.resolved()),
        dataset=record and record.dataset.name,
        dataset_version=record and record.dataset.version,
        references=_references(metrics) if metrics else {},
        references_sha256=metrics.references.audio_sha256 if metrics else None,
        settings=_settings(results),
        hardware=_hardware(results),
        versions=dict(metrics.provenance.versions) if metrics else {},
        git_commit=environment and environment.git and environment.git.commit,
        groups=kept.groups if kept else {},
        heads=_heads(metrics) if metrics else {},
        systems={name: _system(results, name, kept) for name in _names(results)},
    )


def _references(metrics: MetricsFile) -> dict[str, int]:
    return {"n": metrics.references.n, **metrics.references.frames}


def _settings(results: Results) -> Settings | None:
    if results.run is None:
        return None
    protocol = results.run.suite.protocol
    return Settings(
        scenario=protocol.scenario,
        batch_size=protocol.batch_size,
        seed=protocol.seed,
        repeats=protocol.repeats,
        warmups=protocol.warmups,
    )


def _hardware(results: Results) -> Hardware | None:
    if results.run is None:
        return None
    machine, device = results.run.record.environment, results.run.record.request.device
    gpus = sorted({gpu.name for gpu in machine.gpus}) if device == "cuda" else []
    return Hardware(
        device=device,
        cpu_model=machine.cpu_model,
        gpu=" + ".join(gpus) or None,
        threads=machine.threads,
    )


def _heads(metrics: MetricsFile) -> dict[str, ColumnHead]:
    return {
        name: ColumnHead(**{key: getattr(about, key) for key in ColumnHead.model_fields})
        for name, about in metrics.columns.items()
        if name not in DERIVED
    }


def _names(results: Results) -> list[str]:
    if results.run:
        return [use.name for use in results.run.suite.systems]
    return list(results.metrics.systems) if results.metrics else []


def _system(results: Results, name: str, kept: Influences | None) -> SystemEvidence:
    uses = {use.name: use for use in results.run.suite.systems} if results.run else {}
    record = results.metrics.systems.get(name) if results.metrics else None
    use = uses.get(name)
    about = results.run.about_systems().get(name, {}) if results.run else {}
    failed = _failed(results, name, record)
    known = use or record
    return SystemEvidence(
        name=name,
        label=(known.label if known else "") or name,
        paradigm=known.paradigm if known else "unstated",
        n=record.n if record else len(results.run.clips if results.run else ()) - len(failed),
        failed_clips=failed,
        columns=_columns(results, name, kept, bool(use and results.random(use))),
        samples_ns=_phases(results, name),
        stages_ns=_stages(results, name),
        untimed=results.untimed,
        audio={
            row.clip: row.audio_sha256
            for row in results.trials
            if row.system == name and row.audio_sha256 and not row.repeat
        },
        random_weights=bool(use and results.random(use)),
        weights_digest=_digest(about["provenance"]) if about.get("provenance") else None,
    )


def _failed(results: Results, name: str, record: SystemRecord | None) -> tuple[str, ...]:
    """Clips without a result, and those whose sound could not be heard."""
    broken = set(record.failures) if record else set()
    if results.run:
        rows = [row for row in results.trials if row.system == name]
        done = {row.clip for row in rows if row.ok} - {row.clip for row in rows if not row.ok}
        broken |= {clip.id for clip in results.run.clips} - done
    return tuple(sorted(broken))


def _columns(
    results: Results, name: str, kept: Influences | None, random: bool
) -> dict[str, ColumnEvidence]:
    metrics = results.metrics
    record = metrics.systems.get(name) if metrics else None
    if not (metrics and record):
        return {}
    found = {}
    for column, cell in record.cells.items():
        about = metrics.columns.get(column)
        if about is None or column in DERIVED:
            continue
        kind, values, weights, reason = _values(results, record, name, column, cell, kept)
        reason = RANDOM if random else cell.reason if cell.value is None else reason
        found[column] = ColumnEvidence(
            value=None if reason else cell.value,
            better=about.better,
            kind=kind,
            per_clip={} if reason else values,
            weights={} if reason else weights,
            n=cell.n,
            reason=reason,
            digest=_identity(metrics, column),
            lowest=LOWEST if column == WER else None,
        )
    return found


def _values(
    results: Results,
    record: SystemRecord,
    name: str,
    column: str,
    cell: Estimate,
    kept: Influences | None,
) -> tuple[str, dict[str, float], dict[str, float], str | None]:
    """Kind, values of clips, weights, and why there are none."""
    means = {clip: own[column] for clip, own in record.per_clip.items() if column in own}
    if means:
        return "mean", means, {}, None
    if column == WER:
        counts = read_wer(results.folder, name)
        return ("ratio", *pseudo_values(counts, cell.value))
    if kept is None:
        return "set", {}, {}, UNKEPT
    shares, value = kept.shares.get(name, {}).get(column), cell.value
    if shares is None or value is None or kept.values.get(name, {}).get(column) != value:
        return "set", {}, {}, OTHER
    return "set", {clip: value + len(shares) * one for clip, one in shares.items()}, {}, None


def _identity(metrics: MetricsFile, column: str) -> str:
    """Digest of what decides the number beside sounds and clips."""
    about = metrics.columns[column]
    heard = metrics.provenance.embedders.get(about.embedder or "")
    return _digest(
        {
            "column": column,
            "version": about.version,
            "rules": about.rules,
            "normaliser": about.about if column == WER else None,
            "embedder": {key: getattr(heard, key) for key in (*HEARING, "precision")}
            if heard
            else None,
        }
    )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _phases(results: Results, name: str) -> dict[str, Samples]:
    rows = results.timed(name)
    return {
        phase: samples
        for phase in results.task.phase_names
        if (samples := _gathered((row.clip, row.phase_ns.get(phase)) for row in rows))
    }


def _stages(results: Results, name: str) -> dict[str, Samples]:
    """A stage entered twice in a clip counts once, with the sum; the remainder is a stage."""
    times: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in results.timed(name):
        sums: dict[str, int] = defaultdict(int)
        for span in row.spans:
            sums[f"{span.phase}/{span.name}"] += span.wall_ns
        for phase in row.phase_ns:
            left = row.remainder_ns(phase)
            if left is not None:
                sums[f"{phase}/{REMAINDER}"] = left
        for stage, wall_ns in sums.items():
            times[stage].append((row.clip, wall_ns))
    return {stage: _gathered(pairs) for stage, pairs in times.items()}


def _gathered(pairs: Iterable[tuple[str, int | None]]) -> Samples:
    found: dict[str, list[int]] = defaultdict(list)
    for clip, wall_ns in pairs:
        if wall_ns is not None:
            found[clip].append(wall_ns)
    return {clip: tuple(samples) for clip, samples in found.items()}
