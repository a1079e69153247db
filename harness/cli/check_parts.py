"""`stabench check` of what is no system: a metric, a sanity row, a dataset."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from stabench.harness import registry
from stabench.harness.cli.check_system import Outcome
from stabench.harness.datasets.dataset import Clip, Dataset
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted, figure
from stabench.harness.runner.adapter import SpeechError, read_speech
from stabench.harness.runner.worker import SPEECH_RATE_HZ
from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import hear
from stabench.harness.scoring.sanity import OutsideRow, Sanity, SanityRow, load_row
from stabench.harness.scoring.score import (
    ON_CPU,
    item_of,
    networks_of,
    recording_names,
    silent,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites import protocols
from stabench.harness.suites.metrics import load_metrics
from stabench.harness.tasks.task import DEFAULT, load_task
from stabench.metrics.audio import AudioError, decode
from stabench.metrics.registry import Metric

# Of the pocket, for a metric or a sanity row: enough for every column that needs many.
CLIPS = 36
# Faults of a dataset that are printed; the rest is counted.
SHOWN = 5
# What a sanity row is scored by: one metric of sets, one of single clips.
ROW_COLUMNS = ("fad", "clap")


def check_metric(name: str) -> Iterator[Outcome]:
    """Yield what a metric says of sounds of known quality.

    Raises StabenchError for a declaration that is wrong, MissingError without the pocket.
    """
    columns = load_metrics([name])
    metric = columns.metrics[columns.names[0]]
    yield Outcome(True, "declared", f"{metric.label}, {metric.better} is better")
    sanity = make_sanity([name])
    exam = sanity.exam
    said = {clip: item.said or "" for clip, item in exam.items.items()}
    try:
        own, again = (
            Answers(exam, exam.items, exam.references, said).estimate(metric.name) for _ in range(2)
        )
        yield _print_estimate("recordings", own, metric)
        if own != again:
            text = f"measured twice: {own.value} and {again.value}; draw nothing without a seed"
            yield Outcome(False, "again", text)
        if own.value is None:
            return
        if "transcript" in metric.needs:
            ids = list(said)
            others = dict(zip(ids, (said[clip] for clip in [*ids[1:], ids[0]]), strict=True))
            wrong = Answers(exam, exam.items, exam.references, others).estimate(metric.name)
            rows = {"other texts": wrong}
        else:
            names = load_task(DEFAULT).sanity
            rows = {name: row.cells[metric.name] for name, row in sanity.rows(names)}
        for row, estimate in rows.items():
            yield _print_estimate(row, estimate, metric)
    except StabenchError as error:
        yield Outcome(False, "measured", str(error))
        return
    yield from _judge_direction(metric, own, rows)


def _print_estimate(what: str, estimate: Estimate, metric: Metric) -> Outcome:
    if estimate.value is None:
        return Outcome(None, what, f"no number: {estimate.reason}")
    low, high = (
        "?" if end is None else figure(end, metric.digits) for end in (estimate.low, estimate.high)
    )
    text = f"{figure(estimate.value, metric.digits)} [{low}, {high}], {estimate.n} clips"
    return Outcome(True, what, f"{text} {metric.unit}".rstrip())


def _judge_direction(metric: Metric, own: Estimate, rows: dict[str, Estimate]) -> Iterator[Outcome]:
    """Yield a line for each row of worse sounds that the metric calls better."""
    sign = 1 if metric.better == "higher" else -1
    for name, row in rows.items():
        if row.value is not None and own.value is not None and sign * (row.value - own.value) > 0:
            text = f"{metric.better} is better, and '{name}' is better than the recordings"
            yield Outcome(None, "direction", text)


def check_row(name: str) -> Iterator[Outcome]:
    """Yield what two metrics say of the sounds of a sanity row.

    Raises StabenchError for a declaration that is wrong, MissingError without the pocket.
    """
    loaded = load_row(name)
    assert isinstance(loaded, OutsideRow), "a built-in row is no SanityRow"
    row: SanityRow = loaded.row
    yield Outcome(True, "declared", row.label)
    sanity = make_sanity(ROW_COLUMNS)
    try:
        scored, again = (dict(sanity.rows((loaded,)))[row.name] for _ in range(2))
    except StabenchError as error:
        yield Outcome(False, "sounds", str(error))
        return
    yield Outcome(True, "sounds", f"of {counted(scored.clips, 'recording')}")
    if scored.answers.frames() != again.answers.frames() or scored.cells != again.cells:
        text = "made twice, they differ; draw all that is random from the generator"
        yield Outcome(False, "again", text)
    for column, estimate in scored.cells.items():
        yield _print_estimate(column, estimate, sanity.exam.metrics[column])


def make_sanity(columns: Iterable[str]) -> Sanity:
    """Return the maker of sanity rows over the first clips of the pocket, in some columns.

    Raises MissingError without the pocket.
    """
    try:
        dataset: Dataset = registry.load("datasets", "pocket")()
    except (StabenchError, ImportError) as error:
        raise MissingError(f"check needs the pocket's clips: {error}") from error
    clips = dataset.limited(CLIPS).clips
    known = load_metrics(columns)
    protocol = protocols.load("pocket")
    networks = networks_of(protocol, known, ON_CPU)
    names = recording_names(clips)
    sounds: dict[str, Any] = {name: partial(decode, path) for path, name in names.items()}
    items = {clip.id: item_of(clip, names) for clip in clips}
    heard = hear("references", sounds, networks, silent)
    exam = Exam(items, protocol, networks, heard, 0, 1000, known.metrics, known.sources)
    return Sanity(exam, sounds, known.names, silent)


def check_dataset(dataset: Dataset) -> Iterator[Outcome]:
    """Yield what a run would meet in a dataset: each clip's speech and recording are read."""
    clips = dataset.clips
    if not clips:
        yield Outcome(False, "clips", "there are none")
        return
    if dataset.prepare is not None:
        dataset.prepare(clips)
    yield Outcome(True, "clips", f"{counted(len(clips), 'clip')} of {dataset.name}")
    if not dataset.version:
        text = "empty; give one that changes with the clips, such as a digest of ids and captions"
        yield Outcome(False, "version", text)
    faults = (line for clip in clips for line in _find_faults(clip))
    yield from (Outcome(False, "clip", line) for line in islice(faults, SHOWN))
    if more := sum(1 for _ in faults):
        yield Outcome(False, "clip", f"and {counted(more, 'fault')} more")
    for what, has in (
        ("captions", [clip for clip in clips if clip.caption]),
        ("references", [clip for clip in clips if clip.reference]),
        ("labels", [clip for clip in clips if clip.labels]),
    ):
        yield Outcome(True if has else None, what, f"{len(has)} of {len(clips)} clips have some")


def _find_faults(clip: Clip) -> Iterator[str]:
    """Yield why the speech of a clip, or its recording, cannot be used."""
    try:
        read_speech(clip.speech, SPEECH_RATE_HZ)
    except SpeechError as error:
        yield f"'{clip.id}': {error}"
    if clip.reference is not None:
        try:
            decode(clip.reference)
        except AudioError as error:
            yield f"'{clip.id}': reference {error}"
