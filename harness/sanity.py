"""Sanity rows: what the same columns say of sounds whose quality is known.

They bracket a table: real recordings against each other (floor), against the wrong clips, noise,
silence, and optionally the ceiling: recordings through the systems' own autoencoder.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.answers import EMBEDDINGS, NO_INTERVAL, Answers, of
from harness.estimate import Estimate
from harness.exam import Exam
from harness.features import Heard, Progress, Sounds, hear
from metrics.audio import Audio
from metrics.bootstrap import centred_interval
from metrics.frechet import frechet_distance
from metrics.frechet_bootstrap import FrechetReference

ROWS = ("other-half", "noise", "silence", "shuffled")
CEILING = "ceiling"
Reconstruct = Callable[[Audio], Audio]
"""The suite's `ceiling`, "module:function": a recording through an autoencoder and back."""


class SanityRow(NamedTuple):
    """One row: its label, its columns, and the clips behind them."""

    label: str
    cells: dict[str, Estimate]
    clips: int
    answers: Answers


@dataclass(frozen=True)
class Sanity:
    """The maker of sanity rows: `references` are the recordings of an exam, by clip."""

    exam: Exam
    references: Sounds
    columns: tuple[str, ...]
    progress: Progress

    def rows(
        self, names: tuple[str, ...], ceiling: Reconstruct | None = None
    ) -> Iterator[tuple[str, SanityRow]]:
        """The named rows in their order; none of them without two recordings."""
        if len(self._recordings) < 2:
            return
        if ceiling:
            sounds = self._made(lambda _clip, audio: ceiling(audio))
            yield CEILING, self._of_sounds("Recordings, autoencoded", sounds)
        for name in names:
            yield name, self._row(name)

    def _row(self, name: str) -> SanityRow:
        if name == "other-half":
            return self._other_half()
        if name == "shuffled":
            return self._shuffled()
        if name == "noise":
            return self._of_sounds("White noise", self._made(self._noise))
        return self._of_sounds("Silence", self._made(silence))

    def _of_sounds(self, label: str, sounds: Sounds) -> SanityRow:
        heard = hear(label, sounds, list(self.exam.networks.values()), self.progress)
        return self._of_heard(label, heard)

    def _of_heard(
        self, label: str, heard: Heard, known: dict[str, Estimate] | None = None
    ) -> SanityRow:
        """The row of these sounds; the cells that are `known` are not measured again."""
        answers = Answers(self.exam, heard)
        given = known or {}
        cells = {
            column: given[column] if column in given else answers.estimate(column)
            for column in self.columns
        }
        return SanityRow(label, cells, len(self._recordings) - len(heard.broken), answers)

    def _other_half(self) -> SanityRow:
        """FAD and FD between two halves of the recordings; the rest of all recordings."""
        known = {"kl": Estimate.missing("a recording against itself is 0 by definition")}
        for column in EMBEDDINGS.keys() & set(self.columns):
            lack = self.exam.lack(column)
            known[column] = Estimate.missing(lack) if lack else self._between_halves(column)
        return self._of_heard("Recordings, half and half", self.exam.references, known)

    def _between_halves(self, column: str) -> Estimate:
        found = self.exam.references.features[EMBEDDINGS[column]]
        order = shuffled(sorted(found), self.exam.seed)
        halves = sorted(order[: len(order) // 2]), sorted(order[len(order) // 2 :])
        if len(halves[0]) < 2:
            return Estimate.missing(f"needs at least 4 recordings, has {len(order)}", len(order))
        note = f"{len(halves[1])} clips against {len(halves[0])}: higher than with all {len(order)}"
        one, other = ([found[clip].embeddings for clip in half] for half in halves)
        drawn = [self.exam.drawn(half) for half in halves]
        if min(draws.counts.sum(axis=1).min() for draws in drawn) < 2:
            value = frechet_distance(np.concatenate(other), np.concatenate(one))
            return Estimate(value, n=len(other), reason=f"{note}; {NO_INTERVAL}")
        replicates = FrechetReference(one, drawn[0]).replicates(other, drawn[1])
        return of(centred_interval(replicates), least=0)._replace(reason=note)

    def _shuffled(self) -> SanityRow:
        """Each recording in the place of another: wrong captions, wrong labels, same set."""
        order = shuffled(self._recordings, self.exam.seed)
        place = dict(zip(order, [*order[1:], order[0]], strict=True))
        features = {
            role: {clip: found[place[clip]] for clip in place}
            for role, found in self.exam.references.features.items()
        }
        same = Estimate.missing("the same set of recordings: 0 by definition")
        heard = Heard(features, {})
        return self._of_heard("Recordings, shuffled", heard, dict.fromkeys(EMBEDDINGS, same))

    @property
    def _recordings(self) -> list[str]:
        """Clips whose recording every network heard, sorted."""
        return sorted(set(self.references) - set(self.exam.references.broken))

    def _made(self, make: Callable[[str, Audio], Audio]) -> Sounds:
        """A sound made of each recording, when it is asked for."""
        return {clip: self._maker(clip, make) for clip in self._recordings}

    def _maker(self, clip: str, make: Callable[[str, Audio], Audio]) -> Callable[[], Audio]:
        return lambda: make(clip, self.references[clip]())

    def _noise(self, clip: str, audio: Audio) -> Audio:
        """Gaussian noise of the recording's length, rate and rms."""
        rms = np.sqrt(np.mean(np.square(audio.samples, dtype=np.float64)))
        samples = generator(self.exam.seed, clip).standard_normal(len(audio.samples)) * rms
        return Audio(samples.astype(np.float32), audio.rate_hz)


def silence(_clip: str, audio: Audio) -> Audio:
    """Zeros of the recording's length and rate."""
    return Audio(np.zeros_like(audio.samples), audio.rate_hz)


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers for one clip: the same whatever the other clips are."""
    digest = hashlib.sha256(f"sanity:{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def shuffled(clips: list[str], seed: int) -> list[str]:
    """The clips in an order of the seed."""
    return [clips[index] for index in generator(seed, "order").permutation(len(clips))]
