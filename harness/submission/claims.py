"""Claims: every part of submission.json that follows from its own files, and the suite's clips."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from stabench.harness.datasets.dataset import Dataset
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import weights_of
from stabench.harness.submission import cards
from stabench.harness.submission.findings import Finding, deviations, error, warning
from stabench.harness.submission.package import Package
from stabench.harness.submission.schema import NAME
from stabench.harness.submission.sources import JOURNAL, RUN, SYSTEMS, invalid_fields
from stabench.harness.suites.suite import Suite
from stabench.harness.tasks.task import load_task
from stabench.metrics.audio import decode
from stabench.metrics.wav_header import AudioError

# Speech resampled to a system's rate may differ by so much from the file's own length.
SPEECH_S = 0.02


def check_claims(package: Package) -> Iterator[Finding]:
    """Compare submission.json with run.json, systems.json and the journal."""
    claimed, (record, stated, rows) = package.submission, package.sources
    bare = {
        clip: output.model_copy(update={"values": {}}) for clip, output in claimed.outputs.items()
    }
    parts: tuple[tuple[str, str, Any, Callable[[], Any]], ...] = (
        ("suite", RUN, claimed.suite, lambda: cards.suite_card(record.suite)),
        ("dataset", RUN, claimed.dataset, lambda: cards.record_dataset(record)),
        ("run", RUN, claimed.run, lambda: cards.run_card(claimed.run.id, record)),
        ("hardware", RUN, claimed.hardware, lambda: cards.hardware_card(record, stated)),
        ("system", RUN, claimed.system, lambda: cards.system_card(record, stated, claimed.system)),
        ("outputs", JOURNAL, bare, lambda: cards.output_cards(rows)),
        ("failed", JOURNAL, claimed.failed, lambda: cards.failed_clips(rows)),
        ("marks", RUN, claimed.marks, lambda: cards.marks(record, rows)),
    )
    # Recomputed one by one: a source may hold what no card may, which is a finding of that part.
    for field, source, value, recompute in parts:
        yield from _compare(field, source, value, recompute)
    yield from _check_kind(package)


def check_times(package: Package, suite: Suite) -> Iterator[Finding]:
    """Recompute latencies from the journal's samples; its rows must be the suite's."""
    rows = package.sources.rows
    claimed = package.submission.latency
    yield from _compare("latency", JOURNAL, claimed, lambda: cards.latency_card(rows, suite))


def _compare(
    field: str, source: str, claimed: Any, recompute: Callable[[], Any]
) -> Iterator[Finding]:
    """Compare one part with its source, which may hold what no part may."""
    try:
        value = recompute()
    except ValidationError as fault:
        for finding in invalid_fields(source, fault):
            yield finding._replace(field=f"{field}.{finding.field}")
    else:
        yield from deviations(NAME, field, claimed, value)


def _check_kind(package: Package) -> Iterator[Finding]:
    """Check that it is a whole run of one system with weights of its own."""
    record, stated, rows = package.sources
    use, name = record.suite.systems[0], package.submission.system.name
    if "random" in {*weights_of(use.options), *weights_of(stated.get("provenance"))}:
        yield error(SYSTEMS, "provenance.weights", "random weights have no quality")
    told = load_task(record.suite.task).told
    if stated.get("reads_caption") and use.paradigm not in told:
        yield error(
            SYSTEMS, "reads_caption", f"reads the true captions, and calls itself {use.paradigm}"
        )
    if record.dataset.n != len(record.dataset.clips):
        message = f"{record.dataset.n} clips, {len(record.dataset.clips)} are listed"
        yield error(RUN, "dataset.n", message)
    if record.request.phase != "all" or record.request.limit or record.request.speech:
        yield error(RUN, "request", "is not a run of the whole suite on its own speech")
    if not package.submission.system.weights:
        yield warning(NAME, "system.weights", "no sha256 of any weights")
    for row in rows:
        if row.system != name:
            yield error(JOURNAL, f"{row.clip}.system", f"'{row.system}' is another system")
            return


def check_clips(package: Package, suite: Suite, dataset: Dataset) -> Iterator[Finding]:
    """Check that suite and clips are this installation's: none missing, extra or twice."""
    claimed, rows = package.submission, package.sources.rows
    yield from deviations(NAME, "suite", claimed.suite, cards.suite_card(suite))
    card = cards.dataset_card(dataset.name, dataset.version, dataset.clips)
    yield from deviations(NAME, "dataset", claimed.dataset, card)
    ids = [clip.id for clip in dataset.clips]
    yield from _check_outputs(claimed.outputs, claimed.failed, ids)
    allowed = suite.run.max_failed_share * len(ids)
    if len(claimed.failed) > allowed:
        yield error(NAME, "failed", f"{len(claimed.failed)} clips, the suite allows {allowed:g}")
    # Every clip must have been run as often as the protocol says.
    repeats = suite.run.repeats
    known, timed = set(ids), {(row.clip, row.repeat) for row in rows if not row.warmup}
    for clip in sorted({row.clip for row in rows} - known):
        yield error(JOURNAL, clip, "is no clip of the dataset")
    wanted = {(clip, repeat) for clip in ids for repeat in range(repeats)}
    for clip, repeat in sorted(wanted - timed):
        yield error(JOURNAL, f"{clip}, repeat {repeat}", "was not run")
    for clip, repeat in sorted(timed - wanted):
        # A clip that the dataset lacks was named above, whatever its repeats.
        if clip in known:
            yield error(JOURNAL, f"{clip}, repeat {repeat}", f"the suite has {repeats} repeats")


def _check_outputs(
    outputs: Mapping[str, Any], failed: Mapping[str, str], ids: list[str]
) -> Iterator[Finding]:
    wanted = set(ids)
    for field, reason, clips in (
        ("outputs", "is in the dataset and nowhere here", wanted - outputs.keys() - failed.keys()),
        ("outputs", "is no clip of the dataset", outputs.keys() - wanted),
        ("failed", "is no clip of the dataset", failed.keys() - wanted),
        ("failed", "has an output too", failed.keys() & outputs.keys()),
    ):
        for clip in sorted(clips):
            yield error(NAME, f"{field}.{clip}", reason)


def check_speech(rows: list[Row], dataset: Dataset) -> Iterator[Finding]:
    """Check that the system heard the dataset's own speech, as far as its length shows."""
    lengths_s: dict[str, float] = {}
    for clip in dataset.clips:
        # That the speech here cannot be read is no fault of the submission.
        with suppress(AudioError):
            if clip.speech:
                speech = decode(clip.speech)
                lengths_s[clip.id] = len(speech.samples) / speech.rate_hz
    for row in rows:
        length_s = lengths_s.get(row.clip)
        if not row.ok or not length_s:
            continue
        if row.speech_s is None or abs(row.speech_s - length_s) > SPEECH_S:
            message = f"{row.speech_s} s, the suite's speech lasts {length_s:.3f} s"
            yield error(JOURNAL, f"{row.clip}.speech_s", message)


def check_rates(package: Package) -> Iterator[Finding]:
    """Check that every output has the rate that the system states."""
    stated = package.sources.about.get("sample_rate_hz")
    for clip, output in package.submission.outputs.items():
        if output.rate_hz != stated:
            message = f"{output.rate_hz} Hz, the system states {stated} Hz"
            yield error(NAME, f"outputs.{clip}.rate_hz", message)
            return
