"""The page of one system: everything that its submission says, as facts and tables."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from stabench.harness.formatting import NOTHING, counted, decimals, figure, interval
from stabench.harness.leaderboard.entries import Entry
from stabench.harness.submission.schema import Submission
from stabench.harness.tasks.task import load_task

MOST_FAILED = 20
Fact = tuple[str, str]


class Grid(NamedTuple):
    """A plain table; the first cell of a row is its head."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Playable(NamedTuple):
    """A sound's clip, where it lies in the site, and its own metrics."""

    clip: str
    address: str
    values: tuple[Fact, ...]


def system_page(entry: Entry) -> dict[str, Any]:
    """Return what the template of a system is filled with."""
    claim = entry.submission
    return {
        "title": claim.system.label,
        "claim": claim,
        "verdict": entry.verdict,
        "about": list(_describe_system(claim)),
        "audit": list(_describe_audit(entry)),
        "quality": _tabulate_quality(entry),
        "latency": _tabulate_latency(claim),
        "stages": _tabulate_stages(claim),
        "hardware": list(_describe_hardware(claim)),
        "failed": list(claim.failed.items())[:MOST_FAILED],
        "sounds": list(_list_sounds(entry)),
        "provenance": list(_describe_provenance(claim)),
        "judges": _tabulate_judges(claim),
    }


def _describe_system(claim: Submission) -> Iterator[Fact]:
    system = claim.system
    yield "name", system.name
    yield "version", system.version
    yield "paradigm", system.paradigm
    yield "authors", ", ".join(system.authors)
    yield "contact", system.contact
    yield "licence", system.licence
    yield "training data", system.training_data
    if system.parameters is not None:
        yield "parameters", f"{system.parameters:,}"
    if system.note:
        yield "note", system.note


def _describe_audit(entry: Entry) -> Iterator[Fact]:
    if entry.verdict is None:
        return
    columns = entry.submission.metrics
    recomputed = [card.label for key, card in columns.items() if entry.recomputed(key)]
    claimed = [card.label for key, card in columns.items() if not entry.recomputed(key)]
    # A verdict has one word for all times: the journal gave them again, or it did not.
    (recomputed if entry.timed else claimed).append("times")
    yield "checked", f"{entry.verdict.checked_at} by stabench {entry.verdict.stabench}"
    yield "recomputed", ", ".join(recomputed) or "none"
    yield "claimed only", ", ".join(claimed) or "none"


def _tabulate_quality(entry: Entry) -> Grid:
    rows = []
    for key, card in entry.submission.metrics.items():
        arrow = "\N{DOWNWARDS ARROW}" if card.better == "lower" else "\N{UPWARDS ARROW}"
        unit = f" ({card.unit})" if card.unit else ""
        value = NOTHING if card.value is None else figure(card.value, card.digits)
        ends = interval(card.low, card.high, card.digits) or (card.reason or "")
        check = "recomputed" if entry.recomputed(key) else "claimed"
        rows.append((f"{card.label}{unit} {arrow}", value, ends, str(card.n), check))
    return Grid(
        "Values over all clips.", ("Metric", "Value", "95 % interval", "n", "Check"), tuple(rows)
    )


def _tabulate_latency(claim: Submission) -> Grid:
    rows = []
    for phase, column, unit_ns in load_task(claim.suite.task).phases:
        times = claim.latency.phases.get(phase)
        if times is None:
            continue
        # All times of a phase have the decimals of its mean, so that they can be compared by eye.
        digits = decimals([times.mean_ns.value / unit_ns])
        numbers = [("mean", times.mean_ns), *times.percentiles_ns.items()]
        for name, number in numbers:
            label = f"{column.label}, {'median' if name == 'p50' else name} ({column.unit})"
            low, high = (end if end is None else end / unit_ns for end in (number.low, number.high))
            value, ends = figure(number.value / unit_ns, digits), interval(low, high, digits)
            rows.append((label, value, ends, str(times.clips)))
    heads = ("Time", "Value", "95 % interval", "clips")
    return Grid("Wall times of one clip at a time.", heads, tuple(rows))


def _tabulate_stages(claim: Submission) -> Grid:
    rows = tuple(
        (
            f"{stage.phase}: {stage.name}",
            figure(stage.mean_ns / 1e6, 2),
            f"{figure(100 * stage.share, 1)} %",
            NOTHING if stage.device_ns is None else figure(stage.device_ns / 1e6, 2),
        )
        for stage in claim.latency.stages
    )
    return Grid("Means of the stages.", ("Stage", "wall (ms)", "share", "device (ms)"), rows)


def _describe_hardware(claim: Submission) -> Iterator[Fact]:
    card = claim.hardware
    yield "device", card.device
    yield "processor", f"{card.cpu}, {card.threads} of {card.cpu_cores} cores used"
    for gpu in card.gpus:
        yield "GPU", f"{gpu.name}, driver {gpu.driver}"
    if card.memory_bytes:
        yield "memory", f"{figure(card.memory_bytes / 2**30, 1)} GiB"
    yield "precision", card.precision
    yield "software", f"Python {card.python}, torch {card.torch or 'none'}, {card.platform}"


def _describe_provenance(claim: Submission) -> Iterator[Fact]:
    run, scoring = claim.run, claim.scoring
    state = {None: "", True: ", with changes", False: ", clean"}[run.dirty]
    yield "run", run.id
    yield "started, finished", f"{run.started_at}, {run.finished_at}"
    yield "stabench", f"{run.stabench}, commit {run.commit or 'unknown'}{state}"
    yield "suite", f"{claim.suite.name}, sha256 {claim.suite.digest}"
    data = claim.dataset
    yield (
        "data set",
        f"{data.name} {data.version}, {counted(data.clips, 'clip')}, sha256 {data.digest}",
    )
    yield "protocol", f"{scoring.protocol.title}, sha256 {scoring.protocol.digest}"
    yield "intervals", f"{scoring.bootstrap} resamples of clips, seed {scoring.seed}"


def _tabulate_judges(claim: Submission) -> Grid:
    rows = tuple(
        (role, net.name, net.precision, f"{net.rate_hz} Hz", net.sha256[:12], net.identity[:12])
        for role, net in claim.scoring.embedders.items()
    )
    heads = ("Role", "Network", "Precision", "Rate", "Weights (sha256)", "Identity")
    return Grid("Networks that judged the sounds.", heads, rows)


def _list_sounds(entry: Entry) -> Iterator[Playable]:
    claim = entry.submission
    for number, sound in enumerate(entry.sounds, 1):
        values = claim.outputs[sound.clip].values
        shown = tuple(
            (claim.metrics[key].label, figure(value, claim.metrics[key].digits))
            for key, value in values.items()
            if key in claim.metrics
        )
        yield Playable(sound.clip, sound_address(entry, number, sound.suffix), shown)


def sound_address(entry: Entry, number: int, suffix: str) -> str:
    """Return where a sound lies in the site: no clip's name becomes a file's."""
    return f"audio/{entry.id}/{number:02}{suffix}"
