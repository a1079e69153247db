"""A condition: a named change of speech, such as `telephone+noise10`, and what was measured of it.

A condition is one or more parts, applied from left to right. A part is a family (`noise`), where
the family asks for it a whole number (`noise10`), and options (`loss10-bursty`). Every random draw
comes from the seed of the run, the clip and the family alone: not from the number, so that
`noise20` and `noise5` are one noise at two levels, nor from other clips, their order or count.

Samples are float64 within +-1 on the way and float32 at the end: on any processor the same where a
family uses only operations that IEEE 754 fixes, and far within half a 16-bit step where it filters.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError, unknown

CLEAN = "clean"
# Between the parts of a condition.
THEN = "+"
PART = re.compile(r"(?P<word>[A-Za-z][A-Za-z_-]*?)(?P<number>-?\d+)?(?P<options>(-[a-z]+)*)")
# A frame is speech when its power is within so many decibels of the loudest frame's, as in STOI
# (Taal et al. 2011, section II: frames more than 40 dB below the loudest are left out).
FRAME_S, RANGE_DB = 0.02, 40
FULL_SCALE = 32_768


class ConditionError(ValueError):
    """Speech that a condition cannot be applied to; one line."""


class Speech(NamedTuple):
    """Samples float64 [T] within +-1, mono, and their rate.

    `active` [T] says which of them were speech when it was clean, moved along with it: noise that
    an earlier part added does not count as speech. None: as `find_active` finds them.
    """

    samples: np.ndarray
    rate_hz: int
    active: np.ndarray | None = None


class Setting(NamedTuple):
    """What a part's name asks of its family; without a number it is 0."""

    number: int = 0
    options: frozenset[str] = frozenset()


class Heard(NamedTuple):
    """What a family makes of speech: samples [T'], what was measured, how time was moved.

    `times` are pairs (second before, second after), ascending, straight in between; none: time
    stands where it was.
    """

    samples: np.ndarray
    measured: Mapping[str, float] = {}
    times: tuple[tuple[float, float], ...] = ()


class Surroundings(NamedTuple):
    """What a family may use beside the speech: random numbers of its own, and other people.

    `voices` yields speech of other clips with other captions, in an order that the seed decides.
    """

    generator: np.random.Generator
    voices: Callable[[], Iterator[Speech]]


class Number(NamedTuple):
    """The number in a name: the least and the most that is allowed, and what it counts."""

    least: int
    most: int
    unit: str


@dataclass(frozen=True)
class Family:
    """A kind of condition: `apply(speech, setting, surroundings)` returns what is heard of it.

    `about` is a sentence in which `N` is the number. `measures` says what each key of
    `Heard.measured` is. `same`: on another processor its samples are the same bytes, the same
    within rounding (half a 16-bit step), or what another library makes of them. Raise `version`
    when the same speech would sound different.
    """

    name: str
    about: str
    apply: Callable[[Speech, Setting, Surroundings], Heard]
    number: Number | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, str] = field(default_factory=dict)
    same: Literal["bytes", "rounding", "library"] = "rounding"
    version: int = 1

    @property
    def pattern(self) -> str:
        """How a part of this family is written: `lossN[-bursty][-repeat]`."""
        number = "N" if self.number else ""
        return self.name + number + "".join(f"[-{option}]" for option in self.options)


class Part(NamedTuple):
    """One family at one setting; `identity` is all of it that decides the sound."""

    name: str
    family: Family
    setting: Setting
    identity: str


@dataclass(frozen=True)
class Condition:
    """Parts that are applied one after the other."""

    name: str
    parts: tuple[Part, ...]

    @property
    def identity(self) -> str:
        """What decides the sound, of all parts: names, versions, the bytes of outside files."""
        return THEN.join(part.identity for part in self.parts)


def parse_condition(text: str) -> Condition:
    """Return the condition of a name.

    Raises StabenchError with the nearest match for an unknown name, with the allowed numbers for
    another one, MissingError for a file that is not there.
    """
    try:
        parts = tuple(_parse_part(word.strip()) for word in text.split(THEN))
    except StabenchError as error:
        raise type(error)(f"condition '{text}': {error}") from None
    return Condition(THEN.join(part.name for part in parts), parts)


def load_family(name: str) -> Family:
    """Return the family that is registered as `name`, or that "path.py:NAME" holds."""
    family: Family = registry.load("conditions", name, Family)
    return family


def _parse_part(text: str) -> Part:
    path, colon, inner = text.rpartition(":") if registry.is_file(text) else ("", "", text)
    whole = not colon and inner in registry.entries("conditions")
    match = PART.fullmatch(inner)
    word = inner if whole or match is None else match["word"]
    if word == CLEAN:
        raise StabenchError(f"'{CLEAN}' is the speech as it is, and has no parts; name it alone")
    family = load_family(path + colon + word)
    number = None if whole or match is None else match["number"]
    options = "" if whole or match is None else match["options"]
    setting = Setting(_read_number(family, number), _read_options(family, options))
    source = registry.origin("conditions", path + colon + word) or ""
    return Part(inner, family, setting, f"{inner} {family.version} {source}".rstrip())


def _read_number(family: Family, text: str | None) -> int:
    allowed = family.number
    if allowed is None:
        if text is not None:
            raise StabenchError(f"'{family.name}' takes no number, and has {text}; leave it out")
        return 0
    example = f"{family.name}{allowed.least} to {family.name}{allowed.most} ({allowed.unit})"
    if text is None:
        raise StabenchError(f"'{family.name}' needs a number: {example}")
    if not allowed.least <= int(text) <= allowed.most:
        raise StabenchError(f"'{family.name}{text}': allowed are {example}")
    return int(text)


def _read_options(family: Family, text: str) -> frozenset[str]:
    names = text.split("-")[1:]
    for name in names:
        if name not in family.options:
            what = unknown("option", name, family.options) if family.options else "it has none"
            raise StabenchError(f"'{family.name}', option '-{name}': {what}")
    return frozenset(names)


class Outcome(NamedTuple):
    """Speech under a condition, `samples` float32 [T], with what was measured on it.

    `gain` is what the whole was multiplied by to stay within full scale. `measured` is of each
    part, in order. `times` are as in Heard, of all parts together.
    """

    samples: np.ndarray
    gain: float
    measured: tuple[Mapping[str, float], ...]
    times: tuple[tuple[tuple[float, float], ...], ...]

    def move(self, time_s: float) -> float:
        """Return where an instant of the clean speech is heard, in seconds."""
        for knots in self.times:
            if knots:
                before, after = zip(*knots, strict=True)
                time_s = float(np.interp(time_s, before, after))
        return time_s


def apply(
    condition: Condition,
    speech: Speech,
    *,
    seed: int,
    clip: str,
    voices: Callable[[np.random.Generator], Iterator[Speech]] = lambda _generator: iter(()),
) -> Outcome:
    """Return the speech of a clip under a condition.

    `voices` yields speech of other people, for a babble; without it there is nobody. After each
    part the whole is scaled where it exceeds full scale: an analogue sum would not clip. Raises
    ConditionError for speech that a part cannot be applied to, or a part that returns what is no
    speech.
    """
    gain, measured, times = 1.0, [], []
    speech = speech._replace(active=find_active(speech))
    for index, part in enumerate(condition.parts):
        # The second noise of a condition is another one than the first.
        before = sum(earlier.family.name == part.family.name for earlier in condition.parts[:index])
        generator = make_generator(seed, clip, part.family.name, before)
        near = Surroundings(generator, partial(voices, generator))
        heard = part.family.apply(speech, part.setting, near)
        samples = _check(part, heard)
        peak = float(np.abs(samples).max())
        if peak > 1:
            samples, gain = samples / peak, gain / peak
        measured.append(dict(heard.measured))
        times.append(tuple(heard.times))
        active = _move_active(speech, tuple(heard.times), len(samples))
        speech = Speech(samples, speech.rate_hz, active)
    return Outcome(speech.samples.astype(np.float32), gain, tuple(measured), tuple(times))


def _move_active(speech: Speech, times: tuple[tuple[float, float], ...], count: int) -> np.ndarray:
    """Return which of `count` samples are speech, of those that a part made of `speech`."""
    active, places = find_active(speech), np.arange(count)
    if times:
        before, after = zip(*times, strict=True)
        seconds = np.interp(places / speech.rate_hz, after, before)
        places = np.floor(seconds * speech.rate_hz).astype(np.int64)
    # What comes after the end, such as the decay of a room, is no speech.
    return np.append(active, False)[np.minimum(places, len(active))]


def _check(part: Part, heard: Heard) -> np.ndarray:
    """Return the samples of a part. Raises ConditionError for what is no speech."""
    samples = np.asarray(heard.samples, np.float64)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise ConditionError(
            f"'{part.name}' returned {list(samples.shape)} samples, expected finite ones [T]"
        )
    if extra := heard.measured.keys() - part.family.measures.keys():
        what = unknown("measure", min(extra), part.family.measures)
        raise ConditionError(f"'{part.name}': {what}; add it to the family's `measures`")
    return samples


def make_generator(seed: int, clip: str, family: str, before: int = 0) -> np.random.Generator:
    """Return the random numbers of a family in a clip; they depend on nothing else.

    Only `random` and `integers` of it are the same on every processor: `standard_normal` asks the
    C library for logarithms.
    """
    digest = hashlib.sha256(f"{seed}:{clip}:{family}:{before}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples float within +-1 as 16-bit integers, rounded to the nearest, ties to even."""
    steps = np.rint(np.asarray(samples, np.float64) * FULL_SCALE)
    return np.clip(steps, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Return the inverse of `to_int16`: float64, exact."""
    return samples.astype(np.float64) / FULL_SCALE


def find_active(speech: Speech) -> np.ndarray:
    """Return which samples [T] are speech: those of frames near the loudest one, booleans.

    Frames are 20 ms, the last one what is left. None is in silence. A sum that runs along the
    samples has one order: the same frames on every processor.
    """
    if speech.active is not None:
        return speech.active
    count = len(speech.samples)
    size = max(1, round(FRAME_S * speech.rate_hz))
    energy = np.concatenate([[0.0], np.cumsum(speech.samples * speech.samples)])
    ends = np.minimum(np.arange(size, count + size, size), count)
    starts = np.arange(0, count, size)
    power = (energy[ends] - energy[starts]) / (ends - starts)
    loud = (power > 0) & (power >= power.max() * 10.0 ** (-RANGE_DB // 10))
    return np.repeat(loud, ends - starts)


def measure_power(samples: np.ndarray) -> float:
    """Return the mean square; the sum is rounded once, in whatever order it is formed."""
    return math.fsum((samples * samples).tolist()) / max(1, len(samples))


def find_end_s(speech: Speech) -> float | None:
    """Return the second at which the last frame of speech ends, or None for silence."""
    places = np.flatnonzero(find_active(speech))
    return (int(places[-1]) + 1) / speech.rate_hz if len(places) else None


def share(flags: Sequence[bool] | np.ndarray) -> float:
    """Return the share of True, 0 to 1; of nothing it is 0."""
    return float(np.mean(np.asarray(flags, bool))) if len(flags) else 0.0
