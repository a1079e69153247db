"""The exam: what every system of a run is scored against: clips, recordings, captions, draws."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stabench.harness.errors import StabenchError, unknown
from stabench.harness.scoring.features import Heard, Network
from stabench.harness.stats.bootstrap import Draws
from stabench.metrics.protocol import ROLES, Protocol
from stabench.metrics.registry import METRICS, Metric
from stabench.metrics.text_tower import UNRELATED, explain_collapse, measure_likeness

# ("clip", its id) or ("recording", its id).
Node = tuple[str, str]


@dataclass(frozen=True)
class Groups:
    """Which group each clip and each recording is in (0 to `count` - 1)."""

    clips: dict[str, int]
    recordings: dict[str, int]
    count: int


def groups(
    references: Mapping[str, tuple[str, ...]],
    recordings: tuple[str, ...],
    equal: Iterable[Collection[Node]] = (),
) -> Groups:
    """Return connected clips and recordings; `references` are the recordings of each clip.

    Nodes of one collection of `equal` are connected, too. One of either alone is a group of its
    own. They are numbered in the order of clips, then of recordings.
    """
    parent: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        parent.setdefault(node, node)
        while parent[node] != node:
            # Halving the path keeps later look-ups short (union-find).
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for clip, names in references.items():
        first = root(("clip", clip))
        for recording in names:
            parent[root(("recording", recording))] = first
    for nodes in equal:
        roots = [root(node) for node in nodes]
        parent |= dict.fromkeys(roots, roots[0])
    numbers: dict[Node, int] = {}
    clips = {clip: numbers.setdefault(root(("clip", clip)), len(numbers)) for clip in references}
    recording_groups = {
        name: numbers.setdefault(root(("recording", name)), len(numbers)) for name in recordings
    }
    return Groups(clips, recording_groups, len(numbers))


T = TypeVar("T")


class Item(NamedTuple):
    """What one clip is judged by: captions, recordings (by id), labels, steps; any may be missing.

    A caption may have several recordings, a recording several captions. `spoken` is what was said
    to the systems, where that is not the first caption. `steps` are those of `Clip`.
    """

    captions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    spoken: str | None = None
    steps: tuple[tuple[str, ...], ...] = ()

    @property
    def sequence(self) -> bool:
        """Whether events are one after the other."""
        return len(self.steps) > 1

    @property
    def together(self) -> bool:
        """Whether events are at the same time."""
        return any(len(step) > 1 for step in self.steps)

    @property
    def said(self) -> str | None:
        """The text that a transcript is compared with."""
        return self.spoken or next(iter(self.captions), None)


@dataclass(frozen=True)
class Exam:
    """`items` are all clips of all systems; `references` what networks made of the recordings.

    `metrics` are all that are known, by name; `sources` say where those from outside come from.
    `outputs` are the sounds of each system, from which equal clips are known.
    """

    items: Mapping[str, Item]
    protocol: Protocol
    networks: Mapping[str, Network]
    references: Heard
    seed: int = 0
    bootstrap: int = 1000
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    sources: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Heard, ...] = ()
    _kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def ids(self) -> list[str]:
        """Clip ids, sorted: the order of rows in every array."""
        return sorted(self.items)

    @cached_property
    def recordings(self) -> list[str]:
        """Ids of the recordings that were heard, sorted."""
        return sorted(self.references.keys)

    @cached_property
    def probes(self) -> dict[str, Item]:
        """The recordings as clips of their own, for sanity rows: captions of all clips on them."""
        captions: dict[str, dict[str, None]] = defaultdict(dict)
        labels: dict[str, dict[str, None]] = defaultdict(dict)
        steps: dict[str, set[tuple[tuple[str, ...], ...]]] = defaultdict(set)
        for item in self.items.values():
            for name in item.references:
                captions[name].update(dict.fromkeys(item.captions))
                labels[name].update(dict.fromkeys(item.labels))
                steps[name].add(item.steps)
        # Steps cannot be pooled: where the clips of a recording differ, it has none.
        agreed = {name: next(iter(kinds)) for name, kinds in steps.items() if len(kinds) == 1}
        return {
            name: Item(
                tuple(captions[name]), (name,), tuple(labels[name]), steps=agreed.get(name, ())
            )
            for name in self.recordings
        }

    @cached_property
    def groups(self) -> Groups:
        """Which clips and recordings are drawn together: those of one recording, and copies."""
        return groups(*self._named, self._list_equal())

    @cached_property
    def named_groups(self) -> Groups:
        """The same by their names alone, copies under other names apart."""
        return groups(*self._named)

    @property
    def _named(self) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
        references = {name: self.items[name].references for name in self.ids}
        # Recordings that no clip names were heard all the same: they are groups of their own.
        every = {name for names in references.values() for name in names}
        return references, tuple(sorted(every | set(self.references.keys)))

    def _list_equal(self) -> Iterable[list[Node]]:
        """Return the recordings, and the clips without one, that are copies of each other.

        The recording decides what a clip is. Clips with equal recordings are copies whatever their
        outputs are: their values share it. Equal outputs for different recordings are not: a
        system that always makes one sound is still asked as many things. A clip without a
        recording that was heard is its captions and its output.
        """
        copies: dict[object, list[Node]] = defaultdict(list)
        for name, sound in sorted(self.references.keys.items()):
            copies[sound].append(("recording", name))
        for clip, item in self.items.items():
            if not self.references.keys.keys() & {*item.references}:
                for outputs in self.outputs:
                    if key := outputs.keys.get(clip):
                        copies[item.captions, key].append(("clip", clip))
        return copies.values()

    @cached_property
    def draws(self) -> Draws:
        """The resamples that all systems share."""
        return Draws.of(self.groups.count, replicates=self.bootstrap, seed=self.seed)

    @cached_property
    def heard_captions(self) -> dict[str, dict[str, np.ndarray]]:
        """Role -> caption -> text embedding [D]."""
        texts = {caption for item in self.items.values() for caption in item.captions}
        roles = [role for role in self.networks if role.startswith("clap")]
        return {role: self.networks[role].text(texts) for role in roles} if texts else {}

    @cached_property
    def collapsed(self) -> dict[str, str]:
        """Role -> why its text tower cannot be used."""
        reasons: dict[str, str] = {}
        for role, rows in self.heard_captions.items():
            network = self.networks[role]
            # Random weights tell no captions apart, and need not.
            if len(rows) < 2 or network.embedder.origin.startswith("random"):
                continue
            # Both: captions may be alike in truth, and a small vocabulary may lack the others.
            unrelated = measure_likeness(network.text({*UNRELATED}).values())
            reason = explain_collapse(min(unrelated, measure_likeness(rows.values())))
            reasons |= {role: f"{network.name}: {reason}"} if reason else {}
        return reasons

    def events(self, items: list[Item]) -> np.ndarray:
        """Return which of the tagger's classes each item should hold: booleans [N, C]."""
        names = self.networks["tagger"].embedder.labels
        _check_labels((label for item in items for label in item.labels), names)
        return np.array([[name in item.labels for name in names] for item in items])

    def steps(self, items: list[Item]) -> list[tuple[tuple[int, ...], ...]]:
        """Return each item's steps, with the timeline's classes by number."""
        names = self.networks["timeline"].embedder.labels
        _check_labels((label for item in items for step in item.steps for label in step), names)
        numbers = {name: number for number, name in enumerate(names)}
        return [
            tuple(tuple(numbers[label] for label in step) for step in item.steps) for item in items
        ]

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Return what depends on the recordings alone, made for the first system."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def lack(self, metric: Metric) -> str | None:
        """Return why no system can have this metric here, or None."""
        for role in (need for need in metric.needs if need in ROLES):
            if role not in self.networks:
                return f"no {role} network is named"
            if refusal := self.networks[role].refusal:
                return refusal
        # An event counts as heard above the threshold of its class.
        if "labels" in metric.needs and not len(self.networks["tagger"].embedder.thresholds):
            return "the tagger has no thresholds"
        when = {"sequence", "together"} & {*metric.needs}
        if when and not len(self.networks["timeline"].embedder.thresholds):
            return "the timeline has no thresholds"
        if {"reference", "pair"} & {*metric.needs} and not self.references.keys:
            return "no reference recordings"
        items = self.items.values()
        if "caption" in metric.needs and not any(item.captions for item in items):
            return "no captions"
        if "caption" in metric.needs:
            for need in metric.needs:
                if need in self.collapsed:
                    return self.collapsed[need]
        if "labels" in metric.needs and not any(item.labels for item in items):
            return "the clips have no event labels"
        if "sequence" in metric.needs and not any(item.sequence for item in items):
            return "no clip says that one event comes after another"
        if "together" in metric.needs and not any(item.together for item in items):
            return "no clip says that events sound together"
        return None


def _check_labels(labels: Iterable[str], known: Sequence[str]) -> None:
    """Raise StabenchError for a label that is none of a network's classes."""
    for label in labels:
        if label not in known:
            raise StabenchError(f"clips: {unknown('label', label, known)}")
