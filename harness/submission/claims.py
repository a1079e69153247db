"""Claims: every part of submission.json that follows from its own files, and the suite's clips."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from stabench.harness.datasets.dataset import Dataset
from stabench.harness.runs.journal import Row
from stabench.harness.runs.run_folder import weights_of
from stabench.harness.submission import cards
from stabench.harness.submission.findings import Finding, deviations, error, warning
from stabench.harness.submission.package import Package
from stabench.harness.submission.schema import NAME
from stabench.harness.submission.sources import JOURNAL, RUN, SYSTEMS, invalid
from stabench.harness.suites.suite import Suite

SPEECH_S = 0.02
"""Speech resampled to a system's rate may differ by so much from the file's own length."""


def claims(package: Package) -> Iterator[Finding]:
    """What run.json, systems.json and the journal say against submission.json."""
    said, (record, about, rows) = package.submission, package.sources
    bare = {clip: one.model_copy(update={"values": {}}) for clip, one in said.outputs.items()}
    made: tuple[tuple[str, str, Any, Callable[[], Any]], ...] = (
        ("suite", RUN, said.suite, lambda: cards.suite_card(record.suite)),
        ("dataset", RUN, said.dataset, lambda: cards.record_dataset(record)),
        ("run", RUN, said.run, lambda: cards.run_card(said.run.id, record)),
        ("hardware", RUN, said.hardware, lambda: cards.hardware_card(record)),
        ("system", RUN, said.system, lambda: cards.system_card(record, about, said.system)),
        ("outputs", JOURNAL, bare, lambda: cards.outputs(rows)),
        ("failed", JOURNAL, said.failed, lambda: cards.failed(rows)),
        ("marks", RUN, said.marks, lambda: cards.marks(record, rows)),
    )
    for field, source, claimed, make in made:
        yield from _compared(field, source, claimed, make)
    yield from _kind(package)


def all_heard(package: Package) -> Iterator[Finding]:
    """Every sound is in the package."""
    here, outputs = len(package.submission.audio.clips), len(package.submission.outputs)
    if here < outputs:
        message = f"{here} of {outputs} sounds, all are asked for: pack with --audio all"
        yield error(NAME, "audio.clips", message)


def _compared(field: str, source: str, claimed: Any, make: Callable[[], Any]) -> Iterator[Finding]:
    """One part against its source, which may hold what no part may."""
    try:
        found = make()
    except ValidationError as fault:
        yield from (one._replace(field=f"{field}.{one.field}") for one in invalid(source, fault))
    else:
        yield from deviations(NAME, field, claimed, found)


def times(package: Package, suite: Suite) -> Iterator[Finding]:
    """Latencies made again from the journal's samples; its rows must be the suite's."""
    rows = package.sources.rows
    claimed = package.submission.latency
    yield from _compared("latency", JOURNAL, claimed, lambda: cards.latency_card(rows, suite))


def _kind(package: Package) -> Iterator[Finding]:
    """What kind of run it must be."""
    record, about, rows = package.sources
    use, name = record.suite.systems[0], package.submission.system.name
    if "random" in {*weights_of(use.options), *weights_of(about.get("provenance"))}:
        yield error(SYSTEMS, "provenance.weights", "random weights have no quality")
    if about.get("reads_caption") and use.paradigm != "oracle":
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


def whole(package: Package, suite: Suite, dataset: Dataset) -> Iterator[Finding]:
    """The suite and clips are those that this installation has: none missing, extra or twice."""
    said, rows = package.submission, package.sources.rows
    yield from deviations(NAME, "suite", said.suite, cards.suite_card(suite))
    here = cards.dataset_card(dataset.name, dataset.version, dataset.clips)
    yield from deviations(NAME, "dataset", said.dataset, here)
    ids = [clip.id for clip in dataset.clips]
    yield from _clips(said.outputs, said.failed, ids)
    allowed = suite.protocol.max_failed_share * len(ids)
    if len(said.failed) > allowed:
        yield error(NAME, "failed", f"{len(said.failed)} clips, the suite allows {allowed:g}")
    yield from _rows(rows, ids, suite.protocol.repeats)


def _clips(
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


def _rows(rows: list[Row], ids: list[str], repeats: int) -> Iterator[Finding]:
    """Every clip as often as the protocol says."""
    known, timed = set(ids), {(row.clip, row.repeat) for row in rows if not row.warmup}
    for clip in sorted({row.clip for row in rows} - known):
        yield error(JOURNAL, clip, "is no clip of the dataset")
    wanted = {(clip, repeat) for clip in ids for repeat in range(repeats)}
    for clip, repeat in sorted(wanted - timed):
        yield error(JOURNAL, f"{clip}, repeat {repeat}", "was not run")
    for clip, repeat in sorted(timed - wanted):
        if clip in known:
            yield error(JOURNAL, f"{clip}, repeat {repeat}", f"the suite has {repeats} repeats")


def speech(rows: list[Row], dataset: Dataset) -> Iterator[Finding]:
    """The system heard the dataset's own speech, as far as its length shows."""
    import soundfile

    lengths_s = {
        clip.id: soundfile.info(clip.speech).duration
        for clip in dataset.clips
        if clip.speech and clip.speech.is_file()
    }
    for row in rows:
        own_s = lengths_s.get(row.clip)
        if row.ok and own_s and (row.speech_s is None or abs(row.speech_s - own_s) > SPEECH_S):
            message = f"{row.speech_s} s, the suite's speech lasts {own_s:.3f} s"
            yield error(JOURNAL, f"{row.clip}.speech_s", message)


def rates(package: Package) -> Iterator[Finding]:
    """Every output has the rate that the system states."""
    stated = package.sources.about.get("sample_rate_hz")
    for clip, one in package.submission.outputs.items():
        if one.rate_hz != stated:
            message = f"{one.rate_hz} Hz, the system states {stated} Hz"
            yield error(NAME, f"outputs.{clip}.rate_hz", message)
            return
