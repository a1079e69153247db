"""Readings: what a folder of outputs scores under every way of hearing that is known to be used.

The ways are finite lists, one for each axis. Where an axis makes no difference to these sounds
(the channel rule of mono files, the resampler of files that have a network's rate), only its first
value is tried. A sound is heard once for each network and way, and kept where `score` keeps it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from stabench.harness.datasets.tango_subset import LEFT_OUT
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import counted
from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.evaluator import Answers, too_few
from stabench.harness.scoring.features import Heard, Network, Progress, Sounds, hear
from stabench.harness.scoring.score import Hearing, network_of
from stabench.metrics.frechet import Gaussian, fit_clips
from stabench.metrics.protocol import Listening, Protocol, Role
from stabench.metrics.registry import METRICS
from stabench.metrics.resample import NAME, RESAMPLERS
from stabench.metrics.sets import NotMeasurable

# Which network each figure is of.
ROLES: dict[str, Role] = {
    "fad": "fad",
    "fd": "tagger",
    "kl": "tagger",
    "is": "tagger",
    "clap": "clap",
}
NETWORKS: dict[str, tuple[str, ...]] = {
    "fad": ("vggish", "vggish-pca"),
    "tagger": ("cnn14-16k", "cnn14-32k"),
    "clap": ("clap-630k", "clap-music-speech"),
}
# The first value of each is that of the protocol "paper".
AXES: dict[str, tuple[str, ...]] = {
    "channels": ("first", "mean"),
    "dc": ("removed", "kept"),
    "resampler": RESAMPLERS,
    "via": ("none", "16000", "32000"),
    "int16": ("yes", "no"),
    "long": ("first", "windows"),
    "epsilon": ("0", "1e-06"),
    "kl-epsilon": ("1e-06", "0"),
    "splits": ("10", "1"),
}
# Axes of the constants, by the figure that they decide; the others are of hearing.
CONSTANTS = {"fad": "epsilon", "fd": "epsilon", "kl": "kl-epsilon", "is": "splits"}
# Sounds that could not be heard and are named.
MOST_BROKEN = 5
ALL, PAIRED, TANGO = "all", "paired", "tango-886"
# Ids of AudioCaps as they stand in file names: with or without a Y before, a start after.
YOUTUBE = re.compile(r"Y?([\w-]{11})(?:_\d+(?:\.\d+)?)*")


class Reading(NamedTuple):
    """One figure of the outputs: over which clips, heard how, with which constant.

    `constant` is a value of the axis of CONSTANTS, "" for a figure without one.
    """

    column: str
    clips: str
    n: int
    rule: Listening
    constant: str
    value: float


class Untried(NamedTuple):
    """What could not be tried, and why."""

    what: str
    why: str


class Traits(NamedTuple):
    """What of all sounds decides which axes make a difference."""

    channels: int
    rates_hz: frozenset[int]
    longest_s: float


@dataclass(eq=False)
class SharedNetwork(Network):
    """A network that hears by one of many rules; its weights are read once for all of them."""

    first: Any = None

    @property
    def _loaded(self) -> Any:
        return self.first._loaded


@dataclass(frozen=True)
class Folders:
    """Outputs and recordings: what each clip is judged by, and how to decode both."""

    items: Mapping[str, Item]
    outputs: Sounds
    references: Sounds


def measure_readings(
    folders: Folders,
    columns: Sequence[str],
    lists: Mapping[str, frozenset[str]],
    networks: Mapping[str, Sequence[str]],
    axes: Mapping[str, Sequence[str]],
    hearing: Hearing,
    progress: Progress,
) -> tuple[list[Reading], list[Untried], list[str]]:
    """Return every reading of the columns, what could not be tried, and axes of no difference.

    `lists` are clips by the name of a list, `networks` the names of networks by role, `axes` the
    values to try. Raises StabenchError for names that are not known.
    """
    traits = examine_sounds([*folders.outputs.values(), *folders.references.values()])
    ways, untried = _list_ways(columns, networks, axes, hearing, traits)
    # One pass over the audio: all ways of hearing share what is decoded and resampled.
    references = hear("references", folders.references, ways, progress)
    outputs = hear("outputs", folders.outputs, ways, progress)
    for what, heard in (("recordings", references), ("outputs", outputs)):
        # Left out of every reading, so that each is over the same clips.
        for clip, why in list(heard.broken.items())[:MOST_BROKEN]:
            untried.append(Untried(f"{what}, clip {clip}", why))
        if len(heard.broken) > MOST_BROKEN:
            left = len(heard.broken) - MOST_BROKEN
            untried.append(Untried(what, f"{counted(left, 'more clip')} could not be heard"))
    readings: list[Reading] = []
    for (name, chosen), way in product(lists.items(), ways.values()):
        ears = [
            Heard({way.role: way}, dict(heard.keys), heard.broken)
            for heard in (outputs, references)
        ]
        exam = _Exam(folders.items, name, chosen, way, *ears)
        for column in (column for column in columns if ROLES[column] == way.role):
            try:
                readings += exam.read(column, axes)
            except (NotMeasurable, ValueError) as error:
                untried.append(Untried(f"{METRICS[column].label}, clips {name}", str(error)))
    rates_hz = {way.rate_hz for way in ways.values()}
    return readings, list(dict.fromkeys(untried)), list(list_inert(axes, traits, rates_hz))


def _list_ways(
    columns: Sequence[str],
    networks: Mapping[str, Sequence[str]],
    axes: Mapping[str, Sequence[str]],
    hearing: Hearing,
    traits: Traits,
) -> tuple[dict[str, Network], list[Untried]]:
    """Return each network in each way of hearing, by a name, and networks that are not here."""
    ways: dict[str, Network] = {}
    untried: list[Untried] = []
    for role in dict.fromkeys(ROLES[column] for column in columns):
        for name in networks[role]:
            try:
                first = network_of(role, Listening(network=name), hearing)
                # Read now: weights that are missing are known before anything is heard.
                _ = first.identity
            except StabenchError as error:
                untried.append(Untried(f"{role}: {name}", f"not measured, {error}"))
                continue
            for rule in list_rules(role, first, axes, traits):
                parts = {field.name: getattr(first, field.name) for field in fields(Network)}
                ways[f"{role} {len(ways)}"] = SharedNetwork(**{**parts, "rule": rule}, first=first)
    return ways, untried


def examine_sounds(decoders: Sequence[Any]) -> Traits:
    """Return the traits of all sounds that can be decoded."""
    channels, rates, longest = 1, set[int](), 0.0
    for decode in decoders:
        try:
            audio = decode()
        except ValueError:  # hearing names it
            continue
        channels = max(channels, audio.samples.shape[1] if audio.samples.ndim > 1 else 1)
        rates.add(audio.rate_hz)
        longest = max(longest, len(audio.samples) / audio.rate_hz)
    return Traits(channels, frozenset(rates), longest)


def list_rules(
    role: str, network: Network, axes: Mapping[str, Sequence[str]], traits: Traits
) -> Iterator[Listening]:
    """Yield the ways in which a network can be made to hear, each that makes a difference once."""
    longest_s = getattr(network.embedder, "longest_s", None)
    clap = role == "clap"
    names = ("channels", "dc", "resampler", *(("via", "int16", "long") if clap else ()))
    seen: set[Listening] = set()
    for values in product(*(axes[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        via = chosen.get("via", "none")
        via_hz = None if via == "none" else int(via)
        if via_hz == network.rate_hz or traits.rates_hz == {via_hz}:
            via_hz = None
        resampled = via_hz is not None or traits.rates_hz != {network.rate_hz}
        long = chosen.get("long", "whole")
        if longest_s is not None and traits.longest_s <= longest_s:
            long = "first"
        rule = Listening.model_validate(
            {
                "network": network.name,
                # Mono sounds are heard by the rule under which `score` keeps them.
                "channels": chosen["channels"]
                if traits.channels > 1
                else "mean"
                if clap
                else "first",
                "remove_dc": chosen["dc"] == "removed",
                "int16": chosen.get("int16") == "yes",
                "long": long,
                "via_hz": via_hz,
                "resampler": chosen["resampler"] if resampled else NAME,
            }
        )
        if rule not in seen:
            seen.add(rule)
            yield rule


def list_inert(
    axes: Mapping[str, Sequence[str]], traits: Traits, rates_hz: Collection[int]
) -> Iterator[str]:
    """Yield a sentence for each axis that makes no difference to these sounds, and why.

    `rates_hz` are those of the networks.
    """
    if traits.channels == 1 and len(axes["channels"]) > 1:
        yield "channels: no difference, every sound has one channel"
    if len(traits.rates_hz) == 1 and len(axes["resampler"]) > 1:
        (rate,) = traits.rates_hz
        if rate in rates_hz:
            yield f"resampler: no difference to a network of {rate} Hz, the rate of every sound"


def choose_lists(
    items: Mapping[str, Item],
    outputs: Mapping[str, Any],
    recordings: Sequence[str],
    given: Mapping[str, Sequence[str]],
) -> tuple[dict[str, frozenset[str]], list[Untried]]:
    """Return the clips of each known list, and lists that cannot be tried; `given` are the user's.

    The list "all" holds all outputs and is scored against all recordings, every other one against
    the recordings of its own clips. Raises StabenchError for a list without any clip of the folder.
    """
    lists = {ALL: frozenset(items)}
    untried: list[Untried] = []
    named = {name for clip in items if clip in outputs for name in items[clip].references}
    if named and named < {*recordings}:
        lists[PAIRED] = frozenset(clip for clip in items if clip in outputs)
    ids = {clip: match[1] for clip in items if (match := YOUTUBE.fullmatch(clip))}
    kept = frozenset(clip for clip in items if ids.get(clip, "") not in LEFT_OUT)
    if kept and len(kept) < len(items):
        lists[TANGO] = kept
    else:
        why = "no clip here is one of the 89 of AudioCaps' test set that it leaves out"
        untried.append(Untried(f"clips: {TANGO}", why))
    for name, clips in given.items():
        if name in (ALL, PAIRED, TANGO):
            raise StabenchError(f"--clips {name}: that list is here already; choose another name")
        chosen = frozenset(clips) & items.keys()
        if not chosen:
            raise StabenchError(
                f"--clips {name}: none of its {len(clips)} ids is a clip here, such as "
                f"'{min(items)}'; give the ids of the files"
            )
        lists[name] = chosen
    return lists, untried


def restrict_axes(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the axes with the values that AXIS=VALUE texts leave; several of an axis add up.

    Raises StabenchError for another form, and with the nearest match for an unknown axis or value.
    """
    chosen: dict[str, list[str]] = {}
    for text in texts:
        axis, equals, value = text.partition("=")
        if not equals:
            raise StabenchError(f"--only '{text}': expected AXIS=VALUE, such as dc=removed")
        if axis not in AXES:
            raise StabenchError(f"--only '{text}': {unknown('axis', axis, AXES)}")
        if value not in AXES[axis]:
            raise StabenchError(f"--only '{text}': {unknown('value', value, AXES[axis])}")
        chosen.setdefault(axis, []).append(value)
    return {
        axis: tuple(value for value in values if axis not in chosen or value in chosen[axis])
        for axis, values in AXES.items()
    }


def add_epsilon(gen: Gaussian, ref: Gaussian, epsilon: float) -> float:
    """Return the Frechet distance after `epsilon` is added to both diagonals.

    With A and B the roots of both covariances, the last trace is the sum of the singular values
    of A B, as in metrics/frechet.py.
    """
    factors, width = [gen.factor, ref.factor], gen.factor.shape[1]
    rows = sum(len(factor) for factor in factors)
    if rows < width:
        # Outside the span of all rows both covariances are epsilon alone: A B is known there.
        basis = np.linalg.qr(np.concatenate(factors).T)[0]
        factors = [factor @ basis for factor in factors]
    roots = [_root(factor, epsilon) for factor in factors]
    overlap = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    overlap += max(width - rows, 0) * epsilon
    traces = float(np.sum(gen.factor**2) + np.sum(ref.factor**2))
    return float(np.sum((gen.mean - ref.mean) ** 2) + traces + 2 * width * epsilon - 2 * overlap)


def _root(factor: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the root [D, D] of a covariance, the Gram matrix of `factor`, plus epsilon."""
    _, values, right = np.linalg.svd(factor, full_matrices=False)
    least = np.sqrt(epsilon)
    spread = (np.sqrt(values**2 + epsilon) - least)[:, None]
    return right.T @ (spread * right) + least * np.eye(factor.shape[1])


@dataclass(frozen=True)
class _Exam:
    """The clips of one list, heard in one way."""

    items: Mapping[str, Item]
    name: str
    chosen: frozenset[str]
    way: Network
    outputs: Heard
    references: Heard

    def read(self, column: str, axes: Mapping[str, Sequence[str]]) -> Iterator[Reading]:
        """Yield the column's readings, one for each value of its constant.

        Raises NotMeasurable with the reason why there is none.
        """
        axis = CONSTANTS.get(column)
        for constant in axes[axis] if axis else ("",):
            answers = self._answer(column, constant)
            clips = answers.clips(column)
            if reason := too_few(METRICS[column], len(clips)):
                raise NotMeasurable(reason)
            if axis == "epsilon" and float(constant):
                value = self._measure_with_epsilon(clips, float(constant))
            else:
                value = answers.measured(column, clips).statistic.value
            yield Reading(column, self.name, len(clips), self.way.rule, constant, value)

    def _answer(self, column: str, constant: str) -> Answers:
        protocol = Protocol(
            name="explain",
            version=1,
            columns=(column,),
            kl_epsilon=(float(constant) or None) if column == "kl" else None,
            is_splits=int(constant) if column == "is" else 10,
            networks={self.way.role: self.way.rule},
        )
        items = {clip: item for clip, item in self.items.items() if clip in self.chosen}
        exam = Exam(items, protocol, {self.way.role: self.way}, self._choose_references())
        heard = self.outputs.some([clip for clip in self.outputs.keys if clip in items])
        return Answers(exam, items, heard)

    def _choose_references(self) -> Heard:
        if self.name == ALL:
            return self.references
        named = {name for clip in self.chosen for name in self.items[clip].references}
        return self.references.some([name for name in self.references.keys if name in named])

    def _measure_with_epsilon(self, clips: list[str], epsilon: float) -> float:
        references, role = self._choose_references(), self.way.role
        gen = self.outputs.features(role, clips)
        ref = references.features(role, sorted(references.keys))
        return add_epsilon(
            fit_clips("outputs", [part.embeddings for part in gen]),
            fit_clips("recordings", [part.embeddings for part in ref]),
            epsilon,
        )
