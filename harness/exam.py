"""The exam: what every system of a run is scored against: clips, recordings, captions, draws."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from harness.errors import StabenchError, unknown
from harness.features import Heard, Network
from harness.groups import Groups, groups
from metrics.bootstrap import Draws
from metrics.metric import Metric
from metrics.protocol import ROLES, Protocol

T = TypeVar("T")


class Item(NamedTuple):
    """What one clip is judged by: captions, recordings (by id), labels; each may be missing.

    A caption may have several recordings, a recording several captions. `spoken` is what was said
    to the systems, where that is not the first caption.
    """

    captions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    spoken: str | None = None

    @property
    def said(self) -> str | None:
        """The text that a transcript is compared with."""
        return self.spoken or next(iter(self.captions), None)


@dataclass(frozen=True)
class Exam:
    """`items` are all clips of all systems; `references` what networks made of the recordings."""

    items: Mapping[str, Item]
    protocol: Protocol
    networks: Mapping[str, Network]
    references: Heard
    seed: int = 0
    bootstrap: int = 1000
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
        for item in self.items.values():
            for name in item.references:
                captions[name].update(dict.fromkeys(item.captions))
                labels[name].update(dict.fromkeys(item.labels))
        return {
            name: Item(tuple(captions[name]), (name,), tuple(labels[name]))
            for name in self.recordings
        }

    @cached_property
    def groups(self) -> Groups:
        """Which clips and recordings are drawn together."""
        own = {name: self.items[name].references for name in self.ids}
        every = {name for references in own.values() for name in references}
        return groups(own, tuple(sorted(every | set(self.references.keys))))

    @cached_property
    def draws(self) -> Draws:
        """The resamples that all systems share."""
        return Draws.of(self.groups.count, replicates=self.bootstrap, seed=self.seed)

    def counts(self, clips: Sequence[str]) -> np.ndarray:
        """How often each of some clips is drawn in each replicate, int [B, N]."""
        return self.draws.counts[:, [self.groups.clips[clip] for clip in clips]]

    @cached_property
    def heard_captions(self) -> dict[str, dict[str, np.ndarray]]:
        """Role -> caption -> text embedding [D]."""
        texts = {caption for item in self.items.values() for caption in item.captions}
        roles = [role for role in self.networks if role.startswith("clap")]
        return {role: self.networks[role].text(texts) for role in roles} if texts else {}

    def events(self, items: list[Item]) -> np.ndarray:
        """Which of the tagger's classes each item should hold: booleans [N, C]."""
        names = self.networks["tagger"].embedder.labels
        for item in items:
            for label in item.labels:
                if label not in names:
                    raise StabenchError(f"clips: {unknown('label', label, names)}")
        return np.array([[name in item.labels for name in names] for item in items])

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What depends on the recordings alone, made for the first system."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def lack(self, metric: Metric) -> str | None:
        """Why no system can have this metric here, or None."""
        for role in (need for need in metric.needs if need in ROLES):
            if role not in self.networks:
                return f"no {role} network is named"
        if "labels" in metric.needs and not len(self.networks["tagger"].embedder.thresholds):
            return "the tagger has no thresholds"
        if {"reference", "pair"} & {*metric.needs} and not self.references.keys:
            return "no reference recordings"
        items = self.items.values()
        if "caption" in metric.needs and not any(item.captions for item in items):
            return "no captions"
        if "labels" in metric.needs and not any(item.labels for item in items):
            return "the clips have no event labels"
        return None
