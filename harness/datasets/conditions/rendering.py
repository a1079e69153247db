"""The speech of a dataset under a condition, written as WAV files, with what was measured on each.

A clip that a condition cannot be applied to has a reason in place of a file: it is a failed row of
the run, and never silently the clean speech.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field, FiniteFloat

from stabench.harness.datasets.conditions.condition import (
    Condition,
    ConditionError,
    Outcome,
    Speech,
    apply,
    find_active,
    find_end_s,
)
from stabench.harness.datasets.dataset import Clip, Dataset, check_ids
from stabench.harness.errors import StabenchError, one_line
from stabench.harness.files import write_bytes
from stabench.harness.schema import Strict
from stabench.metrics.audio import AudioError, content_sha256, decode, encode, mono

# Between the id of a clip and the condition that it is heard under.
UNDER = "@"
# Told the condition, how many clips are done, and of how many.
Progress = Callable[[str, int, int], None]


class PartRecord(Strict):
    """One part of a condition, and what was measured on what came out of it."""

    name: str
    measured: dict[str, FiniteFloat] = Field({})


class HeardClip(Strict):
    """One clip under one condition, as measured on the result; or the reason why there is none.

    `sha256` is of the samples. `gain` is what the whole was multiplied by to stay within full
    scale. `speech_end_s` is where the last frame of the clean speech ends, moved along with it;
    None for silence.
    """

    failure: str | None = None
    sha256: str | None = None
    duration_s: FiniteFloat | None = None
    speech_end_s: FiniteFloat | None = None
    gain: FiniteFloat | None = None
    parts: tuple[PartRecord, ...] = ()


def heard_id(clip: str, condition: str) -> str:
    """Return what a run calls a clip under a condition: its files and rows are named so."""
    return f"{clip}{UNDER}{condition}"


def check_heard_ids(clips: tuple[Clip, ...], conditions: list[str]) -> None:
    """Raise StabenchError where a clip under a condition would have another clip's name."""
    ids = [clip.id for clip in clips]
    heard = [heard_id(clip, condition) for clip in ids for condition in conditions]
    check_ids("clips under conditions", [*ids, *heard])


def try_conditions(conditions: list[Condition]) -> None:
    """Apply each to a second of sound, so that what is not there is said before a run begins.

    Raises MissingError for a codec that is not there, StabenchError for an outside condition that
    fails, or returns what is no speech.
    """
    tone = np.sin(np.arange(16_000) * 0.3) * np.linspace(0.1, 0.5, 16_000)
    voices = [Speech(tone[::-1] * level, 16_000) for level in (0.5, 0.8)]
    for condition in conditions:
        try:
            apply(
                condition,
                Speech(tone, 16_000),
                seed=0,
                clip="",
                voices=lambda _generator: iter(voices),
            )
        except StabenchError:
            raise
        except Exception as error:
            raise StabenchError(
                f"condition '{condition.name}' failed on a second of sound: {one_line(error)}"
            ) from error


class Renderer:
    """Writes the speech of clips of `dataset` under conditions into a folder.

    `dataset` is the whole one, from which the voices of a babble are taken: they do not depend on
    which clips a run takes.
    """

    def __init__(self, dataset: Dataset, folder: Path, seed: int) -> None:
        self._dataset, self._folder, self._seed = dataset, folder, seed
        # The voices of one babble are read again for the next clip's.
        self._read = lru_cache(maxsize=64)(_read_speech)

    def render(
        self, name: str, condition: Condition, clips: Sequence[Clip], progress: Progress
    ) -> dict[str, HeardClip]:
        """Return what became of each clip, by id; its file is there then."""
        heard = {}
        for index, clip in enumerate(clips):
            heard[clip.id] = self._render_clip(name, condition, clip)
            progress(name, index + 1, len(clips))
        return heard

    def _render_clip(self, name: str, condition: Condition, clip: Clip) -> HeardClip:
        try:
            if clip.speech is None:
                raise ConditionError("the clip has no speech file; add one to the dataset")
            speech = self._read(clip.speech)
            outcome = apply(
                condition,
                speech,
                seed=self._seed,
                clip=clip.id,
                voices=lambda generator: self._list_voices(clip, generator),
            )
        except StabenchError:
            raise
        except AudioError as error:
            return HeardClip(failure=f"speech {error}")
        except Exception as error:
            # Outside conditions may raise anything: it costs the clip, not the run.
            known = isinstance(error, ConditionError | ValueError)
            reason = " ".join(str(error).split()) if known else one_line(error)
            return HeardClip(failure=f"condition '{condition.name}': {reason}")
        path = self._folder / f"{heard_id(clip.id, name)}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, encode(outcome.samples, speech.rate_hz))
        return _describe(condition, speech, outcome)

    def _list_voices(self, clip: Clip, generator: np.random.Generator) -> Iterator[Speech]:
        """Yield speech of clips with other captions, in an order by the generator alone."""
        others = sorted(
            (other for other in self._dataset.clips if _differ(clip, other)),
            key=lambda other: other.id,
        )
        for index in generator.permutation(len(others)).tolist():
            other = others[index]
            if self._dataset.prepare is not None:
                self._dataset.prepare((other,))
            try:
                assert other.speech is not None, "_differ lets through clips with speech alone"
                speech = self._read(other.speech)
            except AudioError:
                continue  # it is a failed clip of its own; another voice does as well
            if find_active(speech).any():
                yield speech


def _differ(clip: Clip, other: Clip) -> bool:
    """Return whether another clip is somebody else who says something else."""
    mine, theirs = ((each.caption or "").casefold().split() for each in (clip, other))
    return (
        other.speech is not None
        and other.id != clip.id
        and other.speech != clip.speech
        and (not mine or mine != theirs)
    )


def _read_speech(path: Path) -> Speech:
    """Return the file's channels averaged, at its own rate. Raises AudioError."""
    channels, rate_hz = decode(path)
    samples = mono(channels, "mean").astype(np.float64)
    peak = float(np.abs(samples).max())
    if peak > 1:
        raise AudioError(f"{path}: its peak is {peak:.4g}, allowed is 1 (full scale); scale it")
    return Speech(samples, rate_hz)


def _describe(condition: Condition, speech: Speech, outcome: Outcome) -> HeardClip:
    end_s = find_end_s(speech)
    return HeardClip(
        sha256=content_sha256(outcome.samples),
        duration_s=len(outcome.samples) / speech.rate_hz,
        speech_end_s=None if end_s is None else outcome.move(end_s),
        gain=outcome.gain,
        parts=tuple(
            PartRecord(name=part.name, measured=dict(measured))
            for part, measured in zip(condition.parts, outcome.measured, strict=True)
        ),
    )
