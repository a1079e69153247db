"""Exporters: a submission's numbers in the YAML that the Hugging Face Hub reads.

`hf-eval-results`: a file for `.eval_results/` of a model's repository, as the Hub's documentation
has it (hub-docs, docs/hub/eval-results.md). `model-index`: the block of a model card's metadata
(hub-docs, modelcard.md). Neither has places for an interval, n or provenance of its own: they
stand in `notes` and in a metric's `args`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.leaderboard.entries import Entry, entry, parsed
from stabench.harness.leaderboard.tables import hardware
from stabench.harness.submission.archive import open_archive
from stabench.harness.submission.findings import refuse
from stabench.harness.submission.schema import NAME, Submission
from stabench.harness.tasks.speech_to_audio import TIMINGS

LEVEL = 0.95
TASK = {"type": "audio-to-audio", "name": "Speech-to-audio generation"}
"""The Hub's task with sound in and sound out."""
HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
"""A data set's id on the Hub; the oldest have no organisation."""


class Figure(NamedTuple):
    """One number to export; `provenance` is what it must share with another to be compared."""

    key: str
    label: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str
    better: str
    provenance: dict[str, Any]
    recomputed: bool


class Hub(NamedTuple):
    """What the Hub wants to know beyond the submission: data set ("org/name"), where from."""

    dataset: str | None = None
    source_url: str | None = None


NOTHING_MORE = Hub()


def export(path: Path, kind: str, hub: Hub = NOTHING_MORE) -> str:
    """The YAML of a package (.zip), a submission.json, or an entry's folder.

    Raises StabenchError for an unknown `kind`, a submission that cannot be read, and for
    "hf-eval-results" without the Hub's id of the data set.
    """
    if kind not in FORMATS:
        raise StabenchError(f"--format: {unknown('format', kind, FORMATS)}")
    found = _entry(path)
    if hub.source_url and not hub.source_url.startswith("https://"):
        raise StabenchError(f"--source '{hub.source_url}': expected an https:// address")
    if hub.dataset and not HUB_ID.fullmatch(hub.dataset):
        raise StabenchError(f"--dataset '{hub.dataset}': expected ORG/NAME, as the Hub has it")
    return _yaml(FORMATS[kind](found, hub))


def _entry(path: Path) -> Entry:
    if path.is_dir():
        return entry(path)
    if not path.is_file():
        raise MissingError(f"submission '{path}': no such file; give a package or submission.json")
    return Entry(path.parent, parsed(Submission, path, _claims(path)), None)


def _claims(path: Path) -> bytes:
    """submission.json, alone or in its package."""
    if path.suffix != ".zip":
        return path.read_bytes()
    archive, findings = open_archive(path)
    if archive is None or NAME not in archive.entries:
        refuse(findings)
        raise StabenchError(f"submission '{path}': holds no {NAME}; give what submit wrote")
    try:
        return archive.read(NAME)
    except ValueError as fault:
        raise StabenchError(f"submission '{path}': {NAME} {fault}; pack it again") from None


def eval_results(found: Entry, hub: Hub) -> list[dict[str, Any]]:
    """The list of a file in `.eval_results/`; `task_id` is the column."""
    if hub.dataset is None:
        raise StabenchError(
            "hf-eval-results needs --dataset ORG/NAME: the Hub's benchmark that has these tasks"
        )
    source = {"source": {"url": hub.source_url, "name": "stabench"}} if hub.source_url else {}
    return [
        {
            "dataset": {"id": hub.dataset, "task_id": one.key},
            "value": one.value,
            "date": found.submission.made_at,
            **source,
            "notes": _notes(one),
        }
        for one in figures(found)
    ]


def model_index(found: Entry, hub: Hub) -> dict[str, Any]:
    """The `model-index` of a model card."""
    claim, data = found.submission, found.submission.dataset
    named = {"type": hub.dataset or data.name, "name": f"{data.name} {data.version}"}
    about = {"version": data.version, "clips": data.clips, "sha256": data.digest}
    result: dict[str, Any] = {
        "task": TASK,
        "dataset": {**named, "args": about},
        "metrics": [_metric(one) for one in figures(found)],
    }
    if hub.source_url:
        result["source"] = {"name": "stabench", "url": hub.source_url}
    return {"model-index": [{"name": claim.system.label, "results": [result]}]}


FORMATS: dict[str, Callable[[Entry, Hub], Any]] = {
    "hf-eval-results": eval_results,
    "model-index": model_index,
}


def figures(found: Entry) -> Iterator[Figure]:
    """Every measured number of an entry: its columns, then the medians of its times."""
    claim = found.submission
    shared = {"suite": claim.suite.name, "suite_sha256": claim.suite.digest}
    for key, card in claim.metrics.items():
        if card.value is None:
            continue
        provenance = {"protocol_sha256": card.protocol, "embedder": card.embedder}
        known = {name: value for name, value in provenance.items() if value}
        yield Figure(
            key, card.label, card.value, card.low, card.high, card.n, card.unit, card.better,
            {**shared, "version": card.version, **known}, found.recomputed(key),
        )  # fmt: skip
    for column, phase, unit_ns in TIMINGS:
        times = claim.latency.phases.get(phase)
        if times is None or times.median_ns is None:
            continue
        median = times.median_ns
        value = median.value / unit_ns
        low, high = (end if end is None else end / unit_ns for end in (median.low, median.high))
        where = {"hardware": hardware(claim.hardware), "precision": claim.hardware.precision}
        yield Figure(
            f"{column.key}_median_{column.unit}", f"{column.label}, median", value, low, high,
            times.clips, column.unit, "lower", {**shared, **where}, found.timed,
        )  # fmt: skip


def _notes(one: Figure) -> str:
    """One line: unit, direction, interval, n, provenance, and who made the number."""
    known = one.low is not None and one.high is not None
    ends = f"95 % interval {one.low:.6g} to {one.high:.6g}" if known else ""
    provenance = [f"{key} {value}" for key, value in one.provenance.items()]
    said = [one.label, one.unit, f"{one.better} is better", ends, f"n {one.n} clips", *provenance]
    return "; ".join(part for part in (*said, _check(one)) if part)


def _metric(one: Figure) -> dict[str, Any]:
    known = one.low is not None and one.high is not None
    interval = {"low": one.low, "high": one.high, "level": LEVEL} if known else {}
    unit = {"unit": one.unit} if one.unit else {}
    args = {**unit, "better": one.better, **interval, "n": one.n, **one.provenance}
    return {
        "type": one.key,
        "value": one.value,
        "name": one.label,
        "args": {**args, "check": _check(one)},
    }


def _check(one: Figure) -> str:
    return "made again by a check of the submission" if one.recomputed else "self-reported"


def _yaml(value: Any) -> str:
    """YAML that means the same to every reader: quoting is the library's, without its aliases."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(value, Dumper=Plain, sort_keys=False, allow_unicode=True, width=100)
