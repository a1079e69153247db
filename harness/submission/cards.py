"""Cards: the parts of submission.json as they follow from a run's record, journal and systems.

Packing writes them and checking makes them again from the same files, so both are one code.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stabench.harness.datasets.dataset import Clip
from stabench.harness.runs.journal import Row
from stabench.harness.runs.results import stages
from stabench.harness.runs.run_folder import Record
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency, least_n
from stabench.harness.submission import schema as cards
from stabench.harness.suites.suite import Suite

PERCENTS: dict[cards.Percentile, int] = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
PHASES: tuple[cards.PhaseName, ...] = ("represent", "generate")
SHA256 = re.compile(r"[0-9a-f]{64}")


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def suite_card(suite: Suite) -> cards.SuiteCard:
    """The suite without its systems and without the dataset's options, which are local paths."""
    rules = suite.resolved()
    parts = {"dataset": suite.dataset.use, **{key: rules[key] for key in ("metrics", "protocol")}}
    return cards.SuiteCard(name=suite.name, digest=digest(parts))


def dataset_card(name: str, version: str, clips: Sequence[Clip]) -> cards.DatasetCard:
    """What was to be done: every clip's id and what its output is judged by."""
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
    return cards.DatasetCard(name=name, version=version, clips=len(clips), digest=digest(rows))


def record_dataset(record: Record) -> cards.DatasetCard:
    """The dataset as a run recorded it."""
    kept = record.dataset
    return dataset_card(kept.name, kept.version, kept.clips)


def run_card(name: str, record: Record) -> cards.RunCard:
    """Which run it was; `name` is its folder's."""
    environment = record.environment
    return cards.RunCard(
        id=name,
        started_at=record.started_at,
        finished_at=record.finished_at or record.started_at,
        resumed=len(record.resumed),
        stabench=environment.packages.get("stabench", "unknown"),
        commit=environment.git and environment.git.commit,
        dirty=environment.git and environment.git.dirty,
    )


def hardware_card(record: Record) -> cards.HardwareCard:
    """The machine, and how the system used it."""
    here, use = record.environment, record.suite.systems[0]
    return cards.HardwareCard(
        device=record.request.device,
        cpu=here.cpu_model,
        cpu_cores=here.cpu_cores,
        threads=here.threads,
        memory_bytes=here.memory_bytes,
        gpus=tuple(cards.GpuCard(name=gpu.name, driver=gpu.driver) for gpu in here.gpus),
        precision=use.precision or record.suite.protocol.precision,
        torch=here.torch,
        python=here.python,
        platform=here.platform,
    )


def system_card(record: Record, about: dict[str, Any], told: cards.About) -> cards.SystemCard:
    """The one system of `record`: what the suite and the system say, and what `told` adds."""
    use = record.suite.systems[0]
    return cards.SystemCard(
        **told.model_dump(include=set(cards.About.model_fields)),
        name=use.name,
        label=use.label or use.name,
        paradigm=use.paradigm,
        note=use.note,
        weights=dict(sorted(_hashes(about.get("provenance")))),
    )


def _hashes(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every sha256 in what a system said of itself, by its dotted place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _hashes(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _hashes(inner, f"{place}.{index}")
    elif isinstance(value, str) and SHA256.fullmatch(value):
        yield place or "sha256", value


def first_rows(rows: Sequence[Row]) -> dict[str, Row]:
    """The measured rows of repeat 0 by clip: their sounds are the outputs."""
    return {row.clip: row for row in rows if not row.warmup and not row.repeat}


def outputs(rows: Sequence[Row]) -> dict[str, cards.OutputCard]:
    """The sounds of finished clips, sorted by clip; metrics are filled in later."""
    return {
        clip: cards.OutputCard(
            sha256=row.audio_sha256,
            samples=row.samples,
            rate_hz=row.rate_hz,
            seconds=row.samples / row.rate_hz,
            values={},
        )
        for clip, row in sorted(first_rows(rows).items())
        if row.ok and row.audio_sha256 and row.samples and row.rate_hz
    }


def failed(rows: Sequence[Row]) -> dict[str, str]:
    """Why clips have no output, sorted by clip."""
    return {clip: _reason(row) for clip, row in sorted(first_rows(rows).items()) if not row.ok}


def _reason(row: Row) -> str:
    text = f"{row.error.kind}: {row.error.message}" if row.error else row.status
    return "".join(c if c.isprintable() else " " for c in text)[:300]


def latency_card(rows: Sequence[Row], suite: Suite) -> cards.LatencyCard:
    """Every figure of time, from the journal's samples."""
    if suite.protocol.scenario == "offline":
        reason = "offline run: a batch has no latency"
        return cards.LatencyCard(phases={}, stages=(), reason=reason)
    timed = [row for row in rows if row.ok and not row.warmup]
    found = {phase: _phase(timed, phase, suite) for phase in PHASES}
    parts = tuple(
        cards.StageCard(**part._asdict()) for part in stages(timed) if part.phase in PHASES
    )
    return cards.LatencyCard(phases={k: v for k, v in found.items() if v}, stages=parts)


def _phase(rows: Sequence[Row], phase: str, suite: Suite) -> cards.PhaseCard | None:
    walls = [row.represent_ns if phase == "represent" else row.generate_ns for row in rows]
    samples = [wall_ns for wall_ns in walls if wall_ns is not None]
    if not samples:
        return None
    protocol = suite.protocol
    clips = [row.clip for row, wall_ns in zip(rows, walls, strict=True) if wall_ns is not None]
    one = Latency(samples, clips, resamples=protocol.bootstrap, seed=protocol.seed)
    return cards.PhaseCard(
        n=one.n,
        clips=one.n_clips,
        mean_ns=_number(one.mean),
        sd_ns=one.sd_ns,
        percentiles_ns={
            name: _number(one.percentile(percent))
            for name, percent in PERCENTS.items()
            if one.n_clips >= least_n(percent)
        },
    )


def _number(found: Estimate) -> cards.Number:
    assert found.value is not None, found.reason
    return cards.Number(value=found.value, low=found.low, high=found.high)


def marks(record: Record, rows: Sequence[Row]) -> tuple[str, ...]:
    """What keeps the numbers from being those of a clean, whole run."""
    git, lost = record.environment.git, failed(rows)
    told = [
        (bool(lost), f"{len(lost)} of {record.dataset.n} clips failed"),
        (git is None, "the source is of no known commit"),
        (git is not None and git.dirty, "the source differs from its commit"),
        (record.request.in_process, "run in one process, without time-outs"),
        (bool(record.resumed), f"resumed {len(record.resumed)} times"),
        (bool(record.dataset.missing), f"{len(record.dataset.missing)} clips of the set missing"),
        (record.suite.metrics.weights == "random", "judged by networks with random weights"),
    ]
    return tuple(text for holds, text in told if holds)


SAMPLE = 16
"""Clips of a sample."""


def root(outputs: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Digest of the outputs' sha256 by clip and the files' by name, hex."""
    claims = [("clip", *pair) for pair in outputs.items()]
    claims += [("file", *pair) for pair in files.items()]
    text = "".join("\0".join(claim) + "\n" for claim in sorted(claims))
    return hashlib.sha256(text.encode()).hexdigest()


def drawn(root: str, clips: Iterable[str], size: int) -> tuple[str, ...]:
    """`size` of the clips, or all when there are no more, sorted; nobody chooses them."""
    ordered = sorted(clips, key=lambda clip: hashlib.sha256(f"{root} {clip}".encode()).digest())
    return tuple(sorted(ordered[:size]))
