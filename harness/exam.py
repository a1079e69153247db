"""The exam: the clips, references, captions and bootstrap that every system of a run shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.dataset import Clip
from harness.errors import StabenchError, unknown
from harness.features import Heard, Network
from metrics.bootstrap import Draws
from metrics.declarations import METRICS
from metrics.frechet_bootstrap import FrechetReference


@dataclass(frozen=True)
class Exam:
    """What every system of a run is scored against: clips, their references, captions, draws."""

    clips: Mapping[str, Clip]
    networks: Mapping[str, Network]
    references: Heard
    seed: int = 0
    bootstrap: int = 1000

    @cached_property
    def ids(self) -> list[str]:
        """Clip ids, sorted: the order of rows in every array."""
        return sorted(self.clips)

    @cached_property
    def captions(self) -> dict[str, np.ndarray]:
        """Text embedding [D] of each clip that has a caption."""
        texts = {name: clip.caption for name, clip in self.clips.items() if clip.caption}
        if not texts or "clap" not in self.networks:
            return {}
        rows = self.networks["clap"].text(set(texts.values()))
        return {name: rows[caption] for name, caption in texts.items()}

    @cached_property
    def draws(self) -> Draws:
        """The resamples that all systems share."""
        return Draws.of(len(self.ids), replicates=self.bootstrap, seed=self.seed)

    def drawn(self, clips: Sequence[str]) -> Draws:
        """The same draws for some of the clips."""
        positions = {name: index for index, name in enumerate(self.ids)}
        return self.draws.at([positions[name] for name in clips])

    def events(self, clips: Sequence[str]) -> np.ndarray:
        """Which of the tagger's classes each clip should hold: booleans [N, C]."""
        names = self.networks["tagger"].embedder.labels
        for clip in clips:
            for label in self.clips[clip].labels:
                if label not in names:
                    raise StabenchError(f"clip '{clip}': {unknown('label', label, names)}")
        return np.array([[name in self.clips[clip].labels for name in names] for clip in clips])

    @cached_property
    def reference_sets(self) -> dict[str, FrechetReference]:
        """The references' embeddings of each network, with their draws."""
        return {
            role: FrechetReference([found[clip].embeddings for clip in clips], self.drawn(clips))
            for role, found in self.references.features.items()
            if (clips := sorted(found))
        }

    def lack(self, column: str) -> str | None:
        """Why no system can have this column here, or None."""
        needs = METRICS[column].needs
        roles = [role for role in needs if role not in ("reference", "caption", "labels")]
        for role in roles:
            if role not in self.networks:
                return f"the suite names no {role} network"
        if "labels" in needs and not len(self.networks["tagger"].embedder.thresholds):
            return "the tagger has no thresholds"
        if "reference" in needs and not any(self.references.features.values()):
            return "no reference recordings"
        if "caption" in needs and not self.captions:
            return "no captions"
        if "labels" in needs and not any(clip.labels for clip in self.clips.values()):
            return "the clips have no event labels"
        return None
