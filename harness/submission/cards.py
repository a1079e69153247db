"""Cards: the parts of submission.json as they follow from a run's record, journal and systems.

Packing writes them and checking recomputes them from the same files, so both are one code.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from stabench.harness.datasets.dataset import Clip
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import Record
from stabench.harness.runs.timings import stages
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency, least_n
from stabench.harness.submission import schema
from stabench.harness.suites.suite import Suite
from stabench.harness.tasks.task import load_task

PERCENTS: dict[schema.Percentile, int] = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
SHA256 = re.compile(r"[0-9a-f]{64}")


def digest(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def suite_card(suite: Suite) -> schema.SuiteCard:
    """Describe the suite without its systems and the dataset's options, which are local paths."""
    rules = suite.resolved()
    kept = ("metrics", "protocol", "task")
    parts = {"dataset": suite.dataset.use, **{key: rules[key] for key in kept if key in rules}}
    return schema.SuiteCard(name=suite.name, digest=digest(parts), task=suite.task)


def dataset_card(name: str, version: str, clips: Sequence[Clip]) -> schema.DatasetCard:
    """Describe what was to be done: every clip's id and what its output is judged by."""
    rows = [
        [
            clip.id,
            clip.caption,
            list(clip.labels),
            list(clip.judged_by),
            *([clip.steps] if clip.steps else []),
        ]
        for clip in clips
    ]
    return schema.DatasetCard(name=name, version=version, clips=len(clips), digest=digest(rows))


def record_dataset(record: Record) -> schema.DatasetCard:
    """Describe the dataset as a run recorded it."""
    dataset = record.dataset
    return dataset_card(dataset.name, dataset.version, dataset.clips)


def run_card(name: str, record: Record) -> schema.RunCard:
    """Describe which run it was; `name` is its folder's."""
    environment = record.environment
    return schema.RunCard(
        id=name,
        started_at=record.started_at,
        finished_at=record.finished_at or record.started_at,
        resumed=len(record.resumed),
        stabench=environment.packages.get("stabench", "unknown"),
        commit=environment.git and environment.git.commit,
        dirty=environment.git and environment.git.dirty,
    )


def hardware_card(record: Record, stated: dict[str, Any]) -> schema.HardwareCard:
    """Describe the machine, and how the system used it; `stated` is what its worker told."""
    machine, use = record.environment, record.suite.systems[0]
    python, torch = machine.python, machine.torch
    told, packages = stated.get("python", python), stated.get("packages")
    # Another interpreter has packages of its own; a system that is no Python has none.
    if use.python is not None or told is None:
        python = told if isinstance(told, str) else python
        torch = packages.get("torch") if isinstance(packages, dict) else None
    return schema.HardwareCard(
        device=record.request.device,
        cpu=machine.cpu_model,
        cpu_cores=machine.cpu_cores,
        threads=machine.threads,
        memory_bytes=machine.memory_bytes,
        gpus=tuple(schema.GpuCard(name=gpu.name, driver=gpu.driver) for gpu in machine.gpus),
        precision=use.precision or record.suite.run.precision,
        torch=torch,
        python=python,
        platform=machine.platform,
    )


def system_card(record: Record, stated: dict[str, Any], about: schema.About) -> schema.SystemCard:
    """Describe the one system of `record`: what suite, system (`stated`) and team say of it."""
    use = record.suite.systems[0]
    return schema.SystemCard(
        **about.model_dump(include=set(schema.About.model_fields)),
        name=use.name,
        label=use.label or use.name,
        paradigm=use.paradigm,
        note=use.note,
        weights=dict(sorted(_find_hashes(stated.get("provenance")))),
    )


def _find_hashes(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every sha256 in what a system stated of itself, by its dotted place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _find_hashes(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _find_hashes(inner, f"{place}.{index}")
    elif isinstance(value, str) and SHA256.fullmatch(value):
        yield place or "sha256", value


def first_rows(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the measured rows of repeat 0 by clip: their sounds are the outputs."""
    return {row.clip: row for row in rows if not row.warmup and not row.repeat}


def output_cards(rows: Sequence[Row]) -> dict[str, schema.OutputCard]:
    """Describe the sounds of finished clips, sorted by clip; metrics are filled in later."""
    return {
        clip: schema.OutputCard(
            sha256=row.audio_sha256,
            samples=row.samples,
            rate_hz=row.rate_hz,
            seconds=row.samples / row.rate_hz,
            values={},
        )
        for clip, row in sorted(first_rows(rows).items())
        if row.ok and row.audio_sha256 and row.samples and row.rate_hz
    }


def failed_clips(rows: Sequence[Row]) -> dict[str, str]:
    """Return why clips have no output, sorted by clip."""
    failures = {clip: row for clip, row in sorted(first_rows(rows).items()) if not row.ok}
    reasons = {
        clip: f"{row.error.kind}: {row.error.message}" if row.error else row.status
        for clip, row in failures.items()
    }
    # What `Line` of the schema allows: printable characters, at most 300.
    return {
        clip: "".join(c if c.isprintable() else " " for c in reason)[:300]
        for clip, reason in reasons.items()
    }


def latency_card(rows: Sequence[Row], suite: Suite) -> schema.LatencyCard:
    """Compute every figure of time from the journal's samples."""
    if suite.run.scenario == "offline":
        reason = "offline run: a batch has no latency"
        return schema.LatencyCard(phases={}, stages=(), reason=reason)
    timed = [row for row in rows if row.ok and not row.warmup]
    names = load_task(suite.task).phase_names
    phases = {phase: _phase_card(timed, phase, suite) for phase in names}
    parts = tuple(
        schema.StageCard(**part._asdict()) for part in stages(timed) if part.phase in names
    )
    return schema.LatencyCard(phases={k: v for k, v in phases.items() if v}, stages=parts)


def _phase_card(rows: Sequence[Row], phase: str, suite: Suite) -> schema.PhaseCard | None:
    timed = [row for row in rows if phase in row.phase_ns]
    if not timed:
        return None
    settings = suite.run
    samples, clips = [row.phase_ns[phase] for row in timed], [row.clip for row in timed]
    latency = Latency(samples, clips, resamples=settings.bootstrap, seed=settings.seed)
    return schema.PhaseCard(
        n=latency.n,
        clips=latency.n_clips,
        mean_ns=_number(latency.mean),
        sd_ns=latency.sd_ns,
        percentiles_ns={
            name: _number(latency.percentile(percent))
            for name, percent in PERCENTS.items()
            if latency.n_clips >= least_n(percent)
        },
    )


def _number(estimate: Estimate) -> schema.Number:
    assert estimate.value is not None, estimate.reason
    return schema.Number(value=estimate.value, low=estimate.low, high=estimate.high)


def marks(record: Record, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what keeps the numbers from being those of a clean, whole run."""
    git, lost = record.environment.git, failed_clips(rows)
    reasons = [
        (bool(lost), f"{len(lost)} of {record.dataset.n} clips failed"),
        (git is None, "the source is of no known commit"),
        (git is not None and git.dirty, "the source differs from its commit"),
        (record.request.in_process, "run in one process, without time-outs"),
        (bool(record.resumed), f"resumed {len(record.resumed)} times"),
        (bool(record.dataset.missing), f"{len(record.dataset.missing)} clips of the set missing"),
        (record.suite.metrics.weights == "random", "judged by networks with random weights"),
    ]
    return tuple(text for holds, text in reasons if holds)
