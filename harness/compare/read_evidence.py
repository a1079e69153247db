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
from stabench.harness.compare.probe_evidence import read_probes
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.probing.run_file import find_probe_run
from stabench.harness.runs import influence_file
from stabench.harness.runs.influence_file import Influences
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.metrics_file import ColumnHead, MetricsFile, SystemRecord
from stabench.harness.runs.results import Results, split_condition
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.runs.run_folder import is_latest
from stabench.harness.scoring.clip_table import NAME
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import UNSTATED
from stabench.metrics.registry import WER

LOWEST = 0.0
NO_TRANSCRIPT = "clips.parquet does not hold the words of these scores; stabench score RUN"

# Errors and words of each clip.
Counts = dict[str, tuple[int, int]]


def read_wer(folder: Path, system: str) -> Counts:
    """Return what clips.parquet says of a system; nothing without the file.

    Raises StabenchError for a file that is no table of clips.
    """
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
    """Return r + (errors - r words) / mean(words) of each clip, and its words; or why not.

    Their mean is r = errors / words over all clips; they are its infinitesimal jackknife. `value`
    is what metrics.json says of r.
    """
    words = sum(count for _, count in counts.values())
    errors = sum(wrong for wrong, _ in counts.values())
    # Another value: clips.parquet was left by an earlier scoring.
    if value is None or not words or abs(errors / words - value) > 1e-12:
        return {}, {}, NO_TRANSCRIPT
    ratio, mean = errors / words, words / len(counts)
    values = {
        clip: ratio + (wrong - ratio * count) / mean for clip, (wrong, count) in counts.items()
    }
    return values, {clip: float(count) for clip, (_, count) in counts.items()}, None


UNKEPT = "scored before influences were kept; stabench score RUN"
OTHER = "the shares kept are those of other scores; stabench score RUN"
# Columns that say what another one says: recall over a constant.
DERIVED = ("ceiling_share",)
# What decides a feature: where weights came from, or on which device, does not count.
HEARING = ("identity", "rate_hz", "resampler", "channels", "mean_removed", "int16", "long")


def read(path: Path | str) -> Evidence:
    """Return the evidence of a run folder, scored folders, "latest" or a baseline file.

    Of a run with conditions, that of RUN@CONDITION.

    Raises MissingError where there is nothing, StabenchError for another file.
    """
    path = Path(path)
    if path.is_file():
        return Evidence.from_bytes(path.read_bytes(), str(path))
    if probe_run := find_probe_run(path):
        return read_probes(probe_run)
    place = split_condition(path)[0]
    if not place.is_dir() and not is_latest(place):
        raise MissingError(f"'{path}' is not there; give a run folder or a baseline file")
    return build_evidence(Results.read(path))


def build_evidence(results: Results) -> Evidence:
    """Return the evidence in a run, or in scored folders.

    Raises StabenchError for a run with conditions of which none was named.
    """
    results.check_one_condition()
    metrics, record = results.metrics, results.run.record if results.run else None
    kept = influence_file.read(results.folder)
    environment = record.environment if record else None
    if results.run:
        names = [use.name for use in results.run.suite.systems]
    else:
        names = list(metrics.systems) if metrics else []
    return Evidence(
        schema=1,
        task=results.task_name,
        name=results.title,
        made_at=record and (record.finished_at or record.started_at),
        suite=record and record.suite.name,
        suite_digest=record and _digest(record.suite.resolved()),
        dataset=record and record.dataset.name,
        dataset_version=record and record.dataset.version,
        references={"n": metrics.references.n, **metrics.references.frames} if metrics else {},
        references_sha256=metrics.references.audio_sha256 if metrics else None,
        settings=_read_settings(results),
        hardware=_read_hardware(results),
        versions=dict(metrics.provenance.versions) if metrics else {},
        git_commit=environment and environment.git and environment.git.commit,
        groups=kept.groups if kept else {},
        heads={
            name: ColumnHead(**{key: getattr(about, key) for key in ColumnHead.model_fields})
            for name, about in (metrics.columns.items() if metrics else ())
            if name not in DERIVED
        },
        systems={name: _read_system(results, name, kept) for name in names},
    )


def _read_settings(results: Results) -> Settings | None:
    if results.run is None:
        return None
    settings = results.run.suite.run
    return Settings(
        scenario=settings.scenario,
        batch_size=settings.batch_size,
        seed=settings.seed,
        repeats=settings.repeats,
        warmups=settings.warmups,
    )


def _read_hardware(results: Results) -> Hardware | None:
    if results.run is None:
        return None
    machine, device = results.run.record.environment, results.run.record.request.device
    # A run on the CPU does not depend on the GPUs beside it.
    gpus = sorted({gpu.name for gpu in machine.gpus}) if device == "cuda" else []
    return Hardware(
        device=device,
        cpu_model=machine.cpu_model,
        gpu=" + ".join(gpus) or None,
        threads=machine.threads,
    )


def _read_system(results: Results, name: str, kept: Influences | None) -> SystemEvidence:
    """Return all that a run, or a folder of scores, knows of one system."""
    uses = {use.name: use for use in results.run.suite.systems} if results.run else {}
    record = results.metrics.systems.get(name) if results.metrics else None
    use = uses.get(name)
    about = results.run.about_systems().get(name, {}) if results.run else {}
    failed = _list_failed(results, name, record)
    known = use or record
    times = results.timed(name)
    return SystemEvidence(
        name=name,
        label=(known.label if known else "") or name,
        paradigm=known.paradigm if known else UNSTATED,
        n=record.n if record else len(results.run.clips if results.run else ()) - len(failed),
        failed_clips=failed,
        columns=_read_columns(results, name, kept, bool(use and results.random(use))),
        samples_ns={
            phase: samples
            for phase in results.task.phase_names
            if (
                samples := _group_by_clip(
                    (results.copies.get(row.clip, row.clip), row.phase_ns.get(phase))
                    for row in times
                )
            )
        },
        stages_ns=_collect_stages(results, name),
        untimed=results.untimed,
        audio={
            row.clip: row.audio_sha256
            for row in results.trials
            # Of the first repeat, whose output is the one written.
            if row.system == name and row.audio_sha256 and not row.repeat
        },
        random_weights=bool(use and results.random(use)),
        weights_digest=_digest(about["provenance"]) if about.get("provenance") else None,
    )


def _list_failed(results: Results, name: str, record: SystemRecord | None) -> tuple[str, ...]:
    """Return clips without a result, and those whose sound could not be heard."""
    broken = set(record.failures) if record else set()
    if results.run:
        rows = [row for row in results.trials if row.system == name]
        # A clip of which one repeat failed has failed, whatever the others did.
        done = {row.clip for row in rows if row.ok} - {row.clip for row in rows if not row.ok}
        broken |= {clip.id for clip in results.run.clips} - done
    return tuple(sorted(broken))


def _read_columns(
    results: Results, name: str, kept: Influences | None, random: bool
) -> dict[str, ColumnEvidence]:
    """Return the columns of one system, each with a value or with the reason why not."""
    metrics = results.metrics
    record = metrics.systems.get(name) if metrics else None
    if not (metrics and record):
        return {}
    columns = {}
    for column, cell in record.cells.items():
        about = metrics.columns.get(column)
        if about is None or column in DERIVED:
            continue
        kind, values, weights, reason = _read_values(results, record, name, column, cell, kept)
        # Random weights come first: what they score says nothing, whether or not it is there.
        reason = RANDOM if random else cell.reason if cell.value is None else reason
        columns[column] = ColumnEvidence(
            value=None if reason else cell.value,
            better=about.better,
            kind=kind,
            per_clip={} if reason else values,
            weights={} if reason else weights,
            n=cell.n,
            reason=reason,
            digest=_identify(metrics, column),
            lowest=LOWEST if column == WER else None,
        )
    return columns


def _read_values(
    results: Results,
    record: SystemRecord,
    name: str,
    column: str,
    cell: Estimate,
    kept: Influences | None,
) -> tuple[str, dict[str, float], dict[str, float], str | None]:
    """Return kind, values of clips, weights, and why there are none."""
    means = {clip: values[column] for clip, values in record.per_clip.items() if column in values}
    if means:
        return "mean", means, {}, None
    if column == WER:
        counts = read_wer(results.folder, name)
        return ("ratio", *pseudo_values(counts, cell.value))
    if kept is None:
        return "set", {}, {}, UNKEPT
    # Shares of another value are those of an earlier scoring.
    shares, value = kept.shares.get(name, {}).get(column), cell.value
    if shares is None or value is None or kept.values.get(name, {}).get(column) != value:
        return "set", {}, {}, OTHER
    return "set", {clip: value + len(shares) * share for clip, share in shares.items()}, {}, None


def _identify(metrics: MetricsFile, column: str) -> str:
    """Return the digest of what decides a column's number, besides sounds and clips."""
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
            # A key for those from outside alone: digests of the others are in stored baselines.
            **({"source": about.source} if about.source else {}),
        }
    )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _collect_stages(results: Results, name: str) -> dict[str, Samples]:
    """Return the samples of each "phase/stage"; the remainder of a phase is a stage of it."""
    times: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in results.timed(name):
        sums: dict[str, int] = defaultdict(int)
        # A stage that is entered twice in a clip counts once, with the sum.
        for span in row.spans:
            sums[f"{span.phase}/{span.name}"] += span.wall_ns
        for phase in row.phase_ns:
            left = row.remainder_ns(phase)
            if left is not None:
                sums[f"{phase}/{REMAINDER}"] = left
        for stage, wall_ns in sums.items():
            times[stage].append((results.copies.get(row.clip, row.clip), wall_ns))
    return {stage: _group_by_clip(pairs) for stage, pairs in times.items()}


def _group_by_clip(pairs: Iterable[tuple[str, int | None]]) -> Samples:
    times: dict[str, list[int]] = defaultdict(list)
    for clip, wall_ns in pairs:
        if wall_ns is not None:
            times[clip].append(wall_ns)
    return {clip: tuple(samples) for clip, samples in times.items()}
