"""Provenance: what each column of metrics.json is, and how its numbers were made."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from stabench.harness import environment
from stabench.harness.formatting import counted
from stabench.harness.runs.metrics_file import (
    ColumnRecord,
    EmbedderRecord,
    ExaminationRecord,
    ProtocolRecord,
    ProvenanceRecord,
)
from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.scoring.examination import COMMAND, NOT_EXAMINED
from stabench.harness.scoring.features import Network
from stabench.harness.stats.bootstrap import LEVEL
from stabench.metrics.protocol import Protocol

SHARE = "ceiling_share"
VERSIONS = ("stabench", "numpy", "scipy", "soundfile", "torch", "transformers", "jiwer")
# Unknown words that a note names.
MOST_WORDS = 5
# Columns that are no metric of an embedding.
DERIVED = {
    SHARE: ColumnRecord(label="Recall / ceiling", better="higher", unit="", digits=2, version=1),
}


def columns_about(exam: Exam, columns: Sequence[str]) -> dict[str, ColumnRecord]:
    """Return of each column: label, direction, unit, digits, version, protocol, network, rules."""
    return {name: DERIVED.get(name) or _describe_metric(exam, name) for name in columns}


def _describe_metric(exam: Exam, name: str) -> ColumnRecord:
    metric = exam.metrics[name]
    return ColumnRecord(
        label=metric.label,
        better=metric.better,
        unit=metric.unit,
        digits=metric.digits,
        version=metric.version,
        about=metric.about,
        protocol=exam.protocol.title,
        embedder=next((role for role in metric.needs if role in exam.networks), None),
        rules={rule: getattr(exam.protocol, rule) for rule in metric.rules},
        source=exam.sources.get(name),
    )


def embedder(exam: Exam, network: Network) -> EmbedderRecord:
    """Return which network heard the sounds, and how they were brought to it."""
    rule = network.rule
    first = exam.references.features(network.role, exam.recordings[:1])
    return EmbedderRecord(
        name=network.name,
        origin=network.embedder.origin,
        licence=network.embedder.licence,
        sha256=network.sha256,
        identity=network.identity,
        width=first[0].embeddings.shape[1] if first else None,
        rate_hz=network.rate_hz,
        # In one field: records that are older than the second rate are still read.
        resampler=rule.resampler + (f" via {rule.via_hz} Hz" if rule.via_hz else ""),
        channels=rule.channels,
        mean_removed=rule.remove_dc,
        int16=rule.int16,
        long=rule.long,
        device=network.device,
        precision=network.precision,
    )


def examination(network: Network) -> ExaminationRecord:
    """Return whether the network may judge: verdict, the figures behind it, what it lacks."""
    record = network.examination
    if record is None:
        return ExaminationRecord(verdict=NOT_EXAMINED)
    figures = record.figures
    return ExaminationRecord(
        verdict=record.verdict,
        sounds=record.sounds,
        accuracy_of=figures and figures.accuracy_of,
        accuracy=figures and figures.accuracy,
        dimensions=figures and figures.dimensions,
        monotony=record.monotony,
        agreement=record.agreement and record.agreement.value,
        faults=tuple(record.faults),
    )


def provenance(exam: Exam) -> ProvenanceRecord:
    """Return what all columns share. It holds no date: scoring again writes the same bytes."""
    protocol = exam.protocol
    # Networks and columns have records of their own.
    rules = protocol.model_dump(mode="json", exclude={"networks", "columns"})
    return ProvenanceRecord(
        protocol=ProtocolRecord.model_validate({**rules, "digest": protocol.digest}),
        clips=len(exam.ids),
        groups=exam.groups.count,
        seed=exam.seed,
        bootstrap=exam.bootstrap,
        level=LEVEL,
        interval="bootstrap-t over clips of influence values; clips of one recording, and equal "
        "sounds, together",
        pairing="by clip id",
        embedders={role: embedder(exam, net) for role, net in exam.networks.items()},
        examinations={role: examination(net) for role, net in exam.networks.items()},
        versions=package_versions(),
    )


def describe_copies(exam: Exam) -> Iterator[str]:
    """Yield which clips are copies of each other under other names; else, which recordings are."""
    groups, named = exam.groups, exam.named_groups
    for what in ("clips", "recordings"):
        numbers: dict[str, int] = getattr(groups, what)
        # Clips that share a recording by its name are no copies: one of them stands for all.
        firsts = {number: name for name, number in reversed(getattr(named, what).items())}
        sets: dict[int, list[str]] = defaultdict(list)
        for name in firsts.values():
            sets[numbers[name]].append(name)
        copies = [sorted(names) for names in sets.values() if len(names) > 1]
        if copies:
            first, *others = min(copies)
            more = f"; so are {counted(len(copies) - 1, 'more set')}" if copies[1:] else ""
            yield (
                f"{len(numbers)} {what}, {counted(len(sets), 'different sound')}: {first} and "
                f"{counted(len(others), 'other')} are equal{more}. Equal sounds count once in "
                "every interval and every least number of clips"
            )
            return


def comparability(exam: Exam) -> list[str]:
    """Return what keeps the numbers from being compared with others', the gravest first."""
    networks = exam.networks.values()
    random = sorted({net.name for net in networks if _is_random(net)})
    packages = sorted({net.package for net in networks if net.package})
    notes = [
        f"{', '.join(random)}: random weights. These numbers only show that the code runs"
    ] * bool(random)
    notes += [
        f"{package} embedders: numbers comparable only with each other, not with any paper's"
        for package in packages
    ]
    return [*notes, *_warn_of_judges(exam), *_warn_of_words(exam)]


def _warn_of_judges(exam: Exam) -> Iterator[str]:
    """Yield what the reader must know of judges that failed, or that nobody examined."""
    # Random weights have a note of their own, which says more.
    networks = [net for net in exam.networks.values() if not _is_random(net)]
    for net in networks:
        if net.refusal:
            yield f"{net.name}: {net.refusal}"
    unknown = [net.role for net in networks if net.examination is None]
    if unknown:
        yield (
            f"not examined: the networks of {', '.join(unknown)}. Nothing shows that what they "
            f"hear is what is there; examine them with {command(exam.protocol)}"
        )


def _warn_of_words(exam: Exam) -> Iterator[str]:
    """Yield which words of the captions a judge with a closed vocabulary does not know."""
    captions = {caption for item in exam.items.values() for caption in item.captions}
    for net in exam.networks.values():
        find = getattr(net.embedder, "find_unknown_words", None)
        unknown = [words for caption in captions if (words := find([caption]))] if find else []
        if unknown:
            words = sorted(set().union(*unknown))
            shown = ", ".join(words[:MOST_WORDS]) + (", ..." if words[MOST_WORDS:] else "")
            yield (
                f"{net.name} does not know {counted(len(words), 'word')} of the captions ({shown}) "
                f"and takes them all for one; they are in {len(unknown)} of "
                f"{counted(len(captions), 'caption')}, of which its scores say little"
            )


def command(protocol: Protocol) -> str:
    """Return the command that examines a protocol's networks, and those put in place of its own."""
    names: dict[str, str] = {role: rule.network for role, rule in protocol.networks.items()}
    others = (f" --judge {role}={names[role]}" for role in protocol.replaced)
    return f"{COMMAND} --protocol {protocol.name}{''.join(others)}"


def _is_random(network: Network) -> bool:
    return network.embedder.origin.startswith("random")


def package_versions() -> dict[str, str]:
    """Return the packages that can change a number, with their versions."""
    return environment.versions(VERSIONS)
