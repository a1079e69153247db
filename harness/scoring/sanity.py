"""Sanity rows: what the same columns say of sounds whose quality is known.

They bracket a table: recordings through the systems' own autoencoder and a perfect generator, where
a suite names them; the recordings against each other, in the place of other clips; noise, silence;
and what others add (`SanityRow`, by an entry point `stabench.sanity` or as "path.py:NAME").
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError, one_line
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import Answers
from stabench.harness.scoring.features import Heard, Progress, Sounds, hear
from stabench.harness.scoring.measure import place_of
from stabench.harness.stats.estimate import Estimate
from stabench.metrics.audio import Audio, AudioError, mono

CEILING, FLOOR = "ceiling", "floor"
# The suite's `ceiling`, "module:function": a recording through an autoencoder and back.
Reconstruct = Callable[[Audio], Audio]
# The suite's `floor`, "module:function": another sound with the content of a clip, by its id.
Regenerate = Callable[[str], Audio]


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class SanityRow:
    """A row from outside: sounds whose quality is known, one in the place of each recording.

    `make` takes the id of a clip, its recording (samples float32 [T]) and the clip's own random
    numbers, and returns Audio with float samples [T], at any rate. It is called anew for the same
    clip: what it returns depends on these three alone. `name` is what a suite and files call the
    row, `label` what a table does.
    """

    name: str
    label: str
    make: Callable[[str, Audio, np.random.Generator], Audio]


class OutsideRow(NamedTuple):
    """A row from outside, and the package or file that it comes from."""

    row: SanityRow
    source: str


class ScoredRow(NamedTuple):
    """One row: its label, its columns, and the clips behind them."""

    label: str
    cells: dict[str, Estimate]
    clips: int
    answers: Answers
    source: str | None = None


@dataclass(frozen=True)
class Sanity:
    """The maker of sanity rows: `references` are the recordings of an exam, by clip."""

    exam: Exam
    references: Sounds
    columns: tuple[str, ...]
    progress: Progress

    def rows(
        self,
        names: tuple[str | OutsideRow, ...],
        ceiling: Reconstruct | None = None,
        floor: Regenerate | None = None,
    ) -> Iterator[tuple[str, ScoredRow]]:
        """Yield ceiling and floor, then the named rows; none of them without two recordings.

        Raises StabenchError for a row from outside that returns no sound.
        """
        if len(self.exam.recordings) < 2:
            return
        if ceiling:
            sounds = self._make_sounds(
                lambda _clip, audio: ceiling(Audio(mono(audio.samples, "mean"), audio.rate_hz))
            )
            yield CEILING, self._score_sounds("Recordings, autoencoded", sounds)
        if floor:
            clips = self._clips
            sounds = {name: partial(floor, clips[name]) for name in self.exam.recordings}
            yield FLOOR, self._score_sounds("Perfect generator (same scenes, new seeds)", sounds)
        for name in names:
            if name == "other-half":
                yield name, self._compare_halves()
            elif name == "shuffled":
                yield name, self._score_shuffled()
            elif name == "noise":
                noise = self._make_sounds(self._make_noise)
                yield name, self._score_sounds("White noise", noise)
            elif name == "silence":
                yield name, self._score_sounds("Silence", self._make_sounds(silence))
            elif isinstance(name, OutsideRow):
                row, source = name
                sounds = self._make_sounds(partial(_make_outside, row, self.exam.seed))
                yield row.name, self._score_sounds(row.label, sounds)._replace(source=source)
            else:
                raise ValueError(f"sanity row '{name}' has no sounds; load it with load_row")

    def _score_sounds(self, label: str, sounds: Sounds) -> ScoredRow:
        return self._score_heard(label, hear(label, sounds, self.exam.networks, self.progress))

    def _score_heard(
        self, label: str, heard: Heard, known: dict[str, Estimate] | None = None
    ) -> ScoredRow:
        """Return the row of these sounds; the cells that are `known` are not measured again."""
        answers = Answers(self.exam, self.exam.probes, heard)
        known = known or {}
        cells = {
            column: known[column] if column in known else answers.estimate(column)
            for column in self.columns
        }
        return ScoredRow(label, cells, len(heard.keys), answers)

    def _compare_halves(self) -> ScoredRow:
        """Compare two halves of the recordings where sets are compared; else score all of them."""
        sounds = self._shuffle_sounds()
        halves = sounds[: len(sounds) // 2], sounds[len(sounds) // 2 :]
        first, second = ([name for names in half for name in names] for half in halves)
        few = f"needs at least 2 recordings in each half, has {len(halves[0])}"
        references = self.exam.references
        exam = Exam(
            dict.fromkeys(second, Item()),
            self.exam.protocol,
            self.exam.networks,
            references.some(sorted(first)),
            self.exam.seed,
            self.exam.bootstrap,
            self.exam.metrics,
            self.exam.sources,
            (references.some(sorted(second)),),
        )
        answers = Answers(exam, exam.items, references.some(sorted(second)))
        every = len(self.exam.recordings)
        note = f"{len(second)} clips against {len(first)}: higher than with all {every}"
        known = dict.fromkeys(self._paired, Estimate.missing("a recording against itself is 0"))
        for column in self._distances:
            distance = Estimate.missing(few) if len(halves[0]) < 2 else answers.estimate(column)
            known[column] = distance if distance.value is None else distance._replace(reason=note)
        return self._score_heard("Recordings, half and half", references, known)

    def _score_shuffled(self) -> ScoredRow:
        """Put each recording in the place of another: wrong captions, wrong labels, same set."""
        sounds = self._shuffle_sounds()
        # Each place has the next sound in a random order: none can stay where it was.
        place = {
            name: others[index % len(others)]
            for names, others in zip(sounds, [*sounds[1:], sounds[0]], strict=True)
            for index, name in enumerate(names)
        }
        same = Estimate.missing("the same set of recordings: 0 by definition")
        heard = self.exam.references.renamed(place)
        return self._score_heard(
            "Recordings, shuffled", heard, dict.fromkeys(self._distances, same)
        )

    def _shuffle_sounds(self) -> list[list[str]]:
        """Return the recordings in a random order, equal ones together.

        In both halves, or in the places of each other, they would be no other sounds.
        """
        sounds: dict[str, list[str]] = {}
        for name in shuffled(self.exam.recordings, self.exam.seed):
            sounds.setdefault(self.exam.references.keys[name], []).append(name)
        return [*sounds.values()]

    @property
    def _clips(self) -> dict[str, str]:
        """The first clip of each recording, by the recording's id."""
        items = self.exam.items
        # From the last to the first: of the clips of a recording the first one stays.
        return {name: clip for clip in reversed(self.exam.ids) for name in items[clip].references}

    @property
    def _distances(self) -> list[str]:
        """Columns that compare whole sets."""
        return [name for name in self.columns if "reference" in self.exam.metrics[name].needs]

    @property
    def _paired(self) -> list[str]:
        return [name for name in self.columns if "pair" in self.exam.metrics[name].needs]

    def _make_sounds(self, make: Callable[[str, Audio], Audio]) -> Sounds:
        """Return a sound made of each recording, when it is asked for."""

        # Late: a recording is decoded when a network asks for it, not all of them at once.
        def make_later(clip: str) -> Callable[[], Audio]:
            return lambda: make(clip, self.references[clip]())

        return {clip: make_later(clip) for clip in self.exam.recordings}

    def _make_noise(self, clip: str, audio: Audio) -> Audio:
        """Return Gaussian noise of the recording's length, rate and rms."""
        rms = np.sqrt(np.mean(np.square(audio.samples, dtype=np.float64)))
        samples = generator(self.exam.seed, clip).standard_normal(len(audio.samples)) * rms
        return Audio(samples.astype(np.float32), audio.rate_hz)


def load_row(name: str) -> str | OutsideRow:
    """Return the sanity row of a name: a built-in one is its name, one from outside is loaded.

    Raises StabenchError for an unknown name and for what is no SanityRow, MissingError for a file
    or module that is not there.
    """
    if name in registry.BUILT_IN["sanity"]:
        registry.target("sanity", name)  # refuses another package's row of the same name
        return name
    row: SanityRow = registry.load("sanity", name, SanityRow)
    what = f"sanity row '{name}'"
    if not isinstance(row.name, str) or not NAME.fullmatch(row.name):
        raise StabenchError(
            f"{what}: its name is {row.name!r}; give a letter, then letters, digits, _ or -"
        )
    if row.name in registry.BUILT_IN["sanity"]:
        raise StabenchError(f"{what}: its name '{row.name}' is that of a built-in row; rename it")
    if not registry.is_file(name) and row.name != name:
        raise StabenchError(f"{what}: the row calls itself '{row.name}'; give both one name")
    if not isinstance(row.label, str) or not row.label.strip():
        raise StabenchError(f"{what}: its label is {row.label!r}; give what a table calls it")
    if not callable(row.make):
        raise StabenchError(
            f"{what}: make is {row.make!r}; give a function of (clip, recording, random)"
        )
    source = registry.origin("sanity", name)
    assert source is not None, "only built-in rows have no source"
    return OutsideRow(row, source)


def load_rows(names: Iterable[str]) -> tuple[str | OutsideRow, ...]:
    """Return the sanity rows of some names, as `load_row` does.

    Raises StabenchError also for two rows of one name.
    """
    rows: dict[str, str | OutsideRow] = {}
    for name in names:
        loaded = load_row(name)
        key = loaded if isinstance(loaded, str) else loaded.row.name
        if rows.setdefault(key, loaded) != loaded:
            raise StabenchError(f"sanity row '{name}': another is called '{key}' too; rename one")
    return tuple(rows.values())


def _make_outside(row: SanityRow, seed: int, clip: str, recording: Audio) -> Audio:
    """Return the sound that a row from outside puts in the place of a recording."""
    what = f"sanity row '{row.name}', clip '{clip}'"
    heard = Audio(mono(recording.samples, "mean"), recording.rate_hz)
    try:
        audio = row.make(clip, heard, generator(seed, f"{row.name}:{clip}"))
    except AudioError:
        raise  # a recording that is broken: the clip counts as such
    except Exception as error:
        raise StabenchError(f"{what}: {one_line(error)} ({place_of(error)})") from error
    samples = getattr(audio, "samples", None)
    if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f" or samples.ndim != 1:
        raise StabenchError(
            f"{what}: make returned {type(audio).__name__}; return Audio(samples, rate_hz) with "
            "float samples [T]"
        )
    if not len(samples) or not np.isfinite(samples).all():
        raise StabenchError(f"{what}: make returned no samples, or some that are not finite")
    return Audio(samples.astype(np.float32, copy=False), audio.rate_hz)


def silence(_clip: str, audio: Audio) -> Audio:
    """Return zeros of the recording's length and rate."""
    return Audio(np.zeros_like(audio.samples), audio.rate_hz)


def generator(seed: int, name: str) -> np.random.Generator:
    """Return random numbers for one clip: the same whatever the other clips are."""
    digest = hashlib.sha256(f"sanity:{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def shuffled(clips: list[str], seed: int) -> list[str]:
    """Return the clips in an order of the seed."""
    return [clips[index] for index in generator(seed, "order").permutation(len(clips))]
