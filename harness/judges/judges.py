"""The examination of judges: every network of a protocol before sounds whose truth is known.

A network that cannot tell sounds apart still gives numbers with narrow intervals. So each is asked
what it hears in sounds that were held out, how many axes its embedding fills, and whether every
column that rests on it follows damage of known size (docs/judges.md).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stabench.harness.errors import StabenchError
from stabench.harness.judges import statistics
from stabench.harness.judges.gradings import Damage, Gradings, Known, louder, white_noise
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.examination import (
    FOREIGN,
    LOUDNESS_DB,
    Agreement,
    Curve,
    Figures,
    Floor,
    Loudness,
    Measure,
    Record,
)
from stabench.harness.scoring.features import Heard, Network, Progress, hear
from stabench.harness.scoring.provenance import package_versions
from stabench.metrics.audio import Audio
from stabench.metrics.frechet import distance, fit_clips
from stabench.metrics.protocol import Protocol
from stabench.metrics.registry import METRICS
from stabench.metrics.sets import class_logits

# What rests on the network of a role and must follow damage.
COLUMNS: dict[str, tuple[str, ...]] = {
    "fad": ("fad",),
    "tagger": ("fd", "kl"),
    "clap": ("clap",),
    "clap_music": ("clap_music",),
    "timeline": (),
}
# What rests on it and is a share of clips: the recordings themselves must have nearly all.
IDEALS: dict[str, tuple[str, ...]] = {"timeline": ("order", "overlap")}
# The roles whose embeddings a distance of sets compares, and that distance.
DISTANCES = {"fad": "fad", "tagger": "fd"}
# A damage that judges may weigh differently: it takes no part in their agreement.
UNORDERED = "gain"
HALVINGS = 10
TRAIN, PLAIN, NOISE, QUIETER, LOUDER = "train", "plain", "white noise", "quieter", "louder"


class KnownSet(NamedTuple):
    """Known sounds, each as `make` leaves it: undamaged, at one level of a damage, replaced."""

    name: str
    sounds: Sequence[Known]
    make: Callable[[Known], Audio]


@dataclass(frozen=True)
class Candidate:
    """A network, and what it made of each set of known sounds, by the set's name."""

    network: Network
    gradings: Gradings
    heard: dict[str, Heard] = field(default_factory=dict)

    @property
    def classes(self) -> list[int]:
        """Which of the network's own classes are the sounds' events; none unless all of them are.

        In the order of `gradings.labels`.
        """
        names = list(getattr(self.network.embedder, "labels", ()))
        known = self.gradings.labels
        return [names.index(label) for label in known] if {*known} <= {*names} else []

    @property
    def probed(self) -> bool:
        """Whether its accuracy is that of a linear probe."""
        return not self.classes and not self.network.role.startswith("clap")

    def needs(self, name: str) -> bool:
        """Return whether a figure of it rests on a set."""
        if name == TRAIN:
            return self.probed
        if name == NOISE:
            return self.network.role in DISTANCES
        return name == PLAIN or bool(COLUMNS[self.network.role])

    @property
    def refused(self) -> int:
        """Sounds for which the network gave NaN or infinity."""
        return sum(len(heard.broken) for heard in self.heard.values())

    def embeddings(self, name: str) -> list[np.ndarray]:
        """Return rows [F, D] of each sound of a set, in the order of its sounds."""
        heard, role = self.heard[name], self.network.role
        return [part.embeddings for part in heard.features(role, list(heard.keys))]

    def pooled(self, name: str) -> np.ndarray:
        """Return the mean row of each sound of a set [N, D]."""
        return np.array([rows.mean(axis=0, dtype=np.float64) for rows in self.embeddings(name)])


class Outcome(NamedTuple):
    """The records of those that were examined, by role, and why others could not be."""

    records: dict[str, Record]
    errors: dict[str, StabenchError]


def examine(
    networks: Mapping[str, Network], protocol: Protocol, gradings: Gradings, progress: Progress
) -> Outcome:
    """Examine every network, by role; each hears as the protocol says.

    One whose weights are missing, or that cannot do what its role asks, does not keep the others
    from being examined.
    """
    candidates: dict[str, Candidate] = {}
    errors: dict[str, StabenchError] = {}
    # One sound first: weights that are missing are known before hundreds of sounds are made.
    first = {gradings.test[0].id: gradings.test[0].audio}
    for role, network in networks.items():
        try:
            hear(PLAIN, first, {role: network}, lambda *_: None)
            candidates[role] = Candidate(network, gradings)
        except StabenchError as error:
            errors[role] = error
    sets = list(known_sets(gradings)) if candidates else []
    done, total = 0, sum(len(known_set.sounds) for known_set in sets)
    for known_set in sets:
        ears = {
            role: candidate
            for role, candidate in candidates.items()
            if candidate.needs(known_set.name)
        }
        # Damaging a sound takes time: a set that nobody needs is not made.
        if ears:
            _hear_set(known_set, ears)
        done += len(known_set.sounds)
        progress("known sounds", done, total)
    records: dict[str, Record] = {}
    for role, candidate in candidates.items():
        try:
            records[role] = _make_record(candidate, protocol)
        except StabenchError as error:
            errors[role] = error
    return Outcome(_add_agreement(records), errors)


def known_sets(gradings: Gradings) -> Iterator[KnownSet]:
    """Yield every set that a network hears, the sounds of a probe first."""
    yield KnownSet(TRAIN, gradings.train, _leave_undamaged)
    yield KnownSet(PLAIN, gradings.test, _leave_undamaged)
    yield KnownSet(NOISE, gradings.test, white_noise)
    yield KnownSet(QUIETER, gradings.to_damage, partial(louder, level=-LOUDNESS_DB))
    yield KnownSet(LOUDER, gradings.to_damage, partial(louder, level=LOUDNESS_DB))
    for damage in gradings.damages:
        for index, level in enumerate(damage.levels):
            make = partial(_apply_damage, damage, level)
            yield KnownSet(_name_level(damage.kind, index), gradings.to_damage, make)


def _name_level(kind: str, index: int) -> str:
    return f"{kind} {index}"


def _apply_damage(damage: Damage, level: float, known: Known) -> Audio:
    return damage.apply(known, level)


def _leave_undamaged(known: Known) -> Audio:
    return known.audio()


def _hear_set(known_set: KnownSet, candidates: Mapping[str, Candidate]) -> None:
    """Make each sound of a set once, and let every network hear it."""
    sounds = {known.id: known_set.make(known) for known in known_set.sounds}
    ready = {name: partial(sounds.__getitem__, name) for name in sounds}
    for role, candidate in candidates.items():
        # Each by itself: what one network refuses must not be lost to the others.
        heard = hear(known_set.name, ready, {role: candidate.network}, lambda *_: None)
        candidate.heard[known_set.name] = heard


def _make_record(candidate: Candidate, protocol: Protocol) -> Record:
    network, gradings = candidate.network, candidate.gradings
    native = network.name in gradings.natives
    return _judge(
        role=network.role,
        network=network.name,
        identity=network.identity,
        origin=network.embedder.origin,
        sounds=gradings.title,
        refused=candidate.refused,
        figures=None if candidate.refused else _measure_figures(candidate, protocol),
        agreement=None,
        thresholds=gradings.thresholds if native else FOREIGN,
        versions=package_versions(),
    )


def _measure_figures(candidate: Candidate, protocol: Protocol) -> Figures:
    """Measure a network that gave finite features for every sound."""
    role, gradings = candidate.network.role, candidate.gradings
    every = _make_exam(candidate, protocol, gradings.test)
    exam = _make_exam(candidate, protocol, gradings.to_damage)

    def value(column: str, name: str) -> float:
        return _measure_value(exam, column, candidate.heard[name])

    curves: dict[str, dict[str, Curve]] = {}
    for column in COLUMNS[role]:
        # Damage must make every column worse, whichever side that is.
        sign = 1 if METRICS[column].better == "lower" else -1
        for damage in gradings.damages:
            order = np.arange(len(damage.levels))
            values = [value(column, _name_level(damage.kind, i)) for i in range(len(damage.levels))]
            rho = statistics.rank_correlation(order, sign * np.array(values))
            curve = Curve(levels=damage.levels, values=tuple(values), monotony=rho)
            curves.setdefault(column, {})[damage.kind] = curve
    named = {"plain": PLAIN, "quieter": QUIETER, "louder": LOUDER}
    rows = np.concatenate(candidate.embeddings(PLAIN))
    spread = statistics.spread(rows)
    measure, accuracy = accuracy_of(candidate)
    return Figures(
        accuracy_of=measure,
        accuracy=accuracy,
        dimensions=spread.dimensions,
        top_two=spread.top_two,
        width=rows.shape[1],
        curves=curves,
        ideal={
            column: _measure_value(every, column, candidate.heard[PLAIN])
            for column in IDEALS.get(role, ())
        },
        loudness={
            column: Loudness(**{key: value(column, name) for key, name in named.items()})
            for column in COLUMNS[role]
        },
        floor=_measure_floor(candidate) if role in DISTANCES else None,
    )


def _make_exam(candidate: Candidate, protocol: Protocol, sounds: Sequence[Known]) -> Exam:
    """Return some of the known sounds as recordings, each a clip of its own."""
    items = {
        known.id: Item((known.caption,), (known.id,), known.labels, steps=known.steps)
        for known in sounds
    }
    role, plain = candidate.network.role, candidate.heard[PLAIN]
    return Exam(items, protocol, {role: candidate.network}, plain.some([*items]))


def _measure_value(exam: Exam, column: str, heard: Heard) -> float:
    """Return the column of what was heard.

    Raises StabenchError where the sounds do not allow it.
    """
    answers = Answers(exam, exam.items, heard)
    clips = answers.clips(column)
    if not clips:
        needs = ", ".join(METRICS[column].needs)
        raise StabenchError(
            f"--gradings: no known sound allows {METRICS[column].label} (needs {needs}); add some"
        )
    return answers.measured(column, clips).statistic.value


def accuracy_of(candidate: Candidate) -> tuple[Measure, float]:
    """Return what the accuracy is of, and its value on the held-out sounds.

    Raises StabenchError for a timeline whose classes are not the events of the sounds.
    """
    network, gradings = candidate.network, candidate.gradings
    truth = _mark_events(gradings.test, gradings.labels)
    if network.role.startswith("clap"):
        texts = network.text({known.caption for known in gradings.test})
        captions = np.stack([texts[known.caption] for known in gradings.test])
        # A caption of the same events is no wrong one, whatever it says of their order.
        wrong = (truth[:, None] != truth).any(axis=2)
        similarity = candidate.pooled(PLAIN) @ captions.T
        return "captions", statistics.matched_share(similarity, wrong)
    if network.role == "timeline":
        if not candidate.classes:
            raise StabenchError(
                f"embedder '{network.name}': its classes are not the events of the sounds "
                f"({', '.join(gradings.labels)}); give --gradings of its own events"
            )
        peaks = np.array([rows.max(axis=0) for rows in candidate.embeddings(PLAIN)])
        scores = peaks[:, candidate.classes]
        return "windows", statistics.mean_average_precision(scores, truth)
    if candidate.classes:
        heard = candidate.heard[PLAIN]
        logits = class_logits(heard.features(network.role, list(heard.keys)))
        scores = logits[:, candidate.classes]
        return "classes", statistics.mean_average_precision(scores, truth)
    learned = _mark_events(gradings.train, gradings.labels)
    scores = statistics.probe(candidate.pooled(TRAIN), learned, candidate.pooled(PLAIN))
    return "probe", statistics.mean_average_precision(scores, truth)


def _mark_events(sounds: Sequence[Known], labels: Sequence[str]) -> np.ndarray:
    """Return which events each sound holds: booleans [N, C]."""
    return np.array([[label in known.labels for label in labels] for known in sounds])


def _measure_floor(candidate: Candidate) -> Floor:
    """Return the mean distance between random halves of the recordings, and that of white noise."""
    clips = candidate.embeddings(PLAIN)
    rng, distances = np.random.default_rng(0), []
    for _ in range(HALVINGS):
        order = rng.permutation(len(clips))
        halves = (order[: len(clips) // 2], order[len(clips) // 2 :])
        fits = (fit_clips("half", [clips[index] for index in half]) for half in halves)
        distances.append(distance(*fits))
    noise = fit_clips("noise", candidate.embeddings(NOISE))
    whole = distance(noise, fit_clips("recordings", clips))
    return Floor(halves=float(np.mean(distances)), noise=whole)


def _add_agreement(records: dict[str, Record]) -> dict[str, Record]:
    """Add the agreement of those two judges that measure distances of sets to their records."""
    pair = [records[role] for role in DISTANCES if role in records and records[role].figures]
    if len(pair) < 2:
        return records
    first, second = (_list_distances(record) for record in pair)
    value = statistics.rank_correlation(first, second)
    agreed = dict(records)
    for record, other in (pair, reversed(pair)):
        agreement = Agreement(
            network=other.network,
            identity=other.identity,
            sets=len(first),
            value=value,
            counts=other.passed,
        )
        agreed[record.role] = _judge(**{**dict(record), "agreement": agreement})
    return agreed


def _list_distances(record: Record) -> np.ndarray:
    """Return the distance of every damaged set, in the order of kinds and levels; gain apart."""
    curves = record.figures.curves[DISTANCES[record.role]] if record.figures else {}
    return np.array(
        [value for kind, curve in curves.items() if kind != UNORDERED for value in curve.values]
    )


def _judge(**fields: Any) -> Record:
    """Return the record with the verdict that follows from what it holds."""
    # Without validation: a record is refused while its verdict and its figures disagree.
    passed = not Record.model_construct(**fields).faults
    return Record(**{**fields, "passed": passed})
