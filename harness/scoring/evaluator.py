"""Answers: one set of sounds against the exam; each column's value, interval and clips.

Clips are paired by id, never by position, and all sets share the exam's resamples, so that their
differences are paired. Failed clips are left out of a system's numbers; the reference set of FAD
and FD stays whole.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from stabench.harness.scoring.evaluation_set import Exam, Item
from stabench.harness.scoring.features import Heard
from stabench.harness.scoring.measure import measure, measure_outside
from stabench.harness.stats import bootstrap
from stabench.harness.stats.bootstrap import Statistic, ratio_statistic, shares
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.permutation import sign_flip
from stabench.metrics.contract import Features
from stabench.metrics.protocol import ROLES
from stabench.metrics.registry import Metric
from stabench.metrics.sets import NotMeasurable, Pair, Ratio, Tested, TwoSample

T = TypeVar("T")


class Measured(NamedTuple):
    """A column of one set: its statistic, and the value of each clip where it is a mean of them.

    `whole`: it belongs to the set as a whole.
    """

    statistic: Statistic
    per_clip: dict[str, float]
    p_value: float | None = None
    whole: bool = False


class Answers:
    """One set of sounds (a system's, or a sanity row's) against the exam, by its `items`.

    `transcripts` are what the system took for the captions, by clip.
    """

    def __init__(
        self,
        exam: Exam,
        items: Mapping[str, Item],
        heard: Heard,
        transcripts: Mapping[str, str] | None = None,
    ) -> None:
        self._exam, self._items, self._heard = exam, items, heard
        self._transcripts = transcripts or {}
        self._measured: dict[tuple[str, tuple[str, ...]], Measured] = {}

    def clips(self, column: str) -> list[str]:
        """Return clips with everything the column needs, sorted by id."""
        needs, recordings = self._exam.metrics[column].needs, self._exam.references.keys
        # A transcript needs no sound: WER also counts clips of `--phase represent`.
        present = self._transcripts if "transcript" in needs else self._heard.keys
        clips = []
        for clip in sorted(self._items.keys() & present.keys()):
            item = self._items[clip]
            whole = (
                ("pair" not in needs or any(name in recordings for name in item.references))
                and ("caption" not in needs or item.captions)
                and ("labels" not in needs or item.labels)
                and ("sequence" not in needs or item.sequence)
                and ("together" not in needs or item.together)
            )
            clips += [clip] if whole else []
        return clips

    def estimate(self, column: str) -> Estimate:
        """Return the column's value and interval, or why there is none."""
        clips = self.clips(column)
        if reason := self._lack(column, clips):
            return Estimate.missing(reason, len(clips))
        try:
            measured = self.measured(column, clips)
        except NotMeasurable as error:
            return Estimate.missing(str(error), len(clips))
        metric = self._exam.metrics[column]
        estimate = bootstrap.interval(measured.statistic, self._exam.draws)
        # A bound above makes it a share, which of few clips has an interval of its own.
        highest = metric.highest if measured.per_clip else None
        estimate = bootstrap.bound(estimate, self.different(clips), metric.lowest, highest)
        return estimate._replace(p_value=measured.p_value)

    def different(self, clips: Iterable[str]) -> int:
        """Return the groups that `clips` are in: so many of them are independent."""
        return len({self._numbers[clip] for clip in clips})

    def per_clip(self, column: str) -> dict[str, float]:
        """Return the value of each clip; nothing for a column that belongs to a set as a whole."""
        clips = self.clips(column)
        if self._lack(column, clips):
            return {}
        try:
            return self.measured(column, clips).per_clip
        except NotMeasurable:
            return {}

    def shares(self, column: str) -> np.ndarray | None:
        """Return the share of each group in a column of the set as a whole; None for others."""
        clips = self.clips(column)
        if self._lack(column, clips):
            return None
        try:
            measured = self.measured(column, clips)
        except NotMeasurable:
            return None
        return measured.statistic.shares if measured.whole else None

    def minus(self, other: "Answers", column: str) -> Estimate:
        """Return this minus the other, over the clips that both have, with its p-value."""
        clips = sorted({*self.clips(column)} & {*other.clips(column)})
        if reason := self._lack(column, clips):
            return Estimate.missing(reason, len(clips))
        try:
            mine, theirs = (answers.measured(column, clips).statistic for answers in (self, other))
        except NotMeasurable as error:
            return Estimate.missing(str(error), len(clips))
        difference = bootstrap.difference(mine, theirs)
        members = [self._exam.groups.clips[clip] for clip in clips]
        weights = np.bincount(members, minlength=self._exam.groups.count) / len(clips)
        # What each group adds to the difference: its share of it, and its share in it.
        test = sign_flip(difference.shares + difference.value * weights, seed=self._exam.seed)
        return bootstrap.interval(difference, self._exam.draws)._replace(p_value=test.p_value)

    def frames(self) -> dict[str, int]:
        """Return how many rows of embeddings each network gave for these sounds."""
        return {
            role: sum(
                len(features.embeddings)
                for features in self._heard.features(role, [*self._heard.keys])
            )
            for role in self._exam.networks
        }

    def measured(self, column: str, clips: list[str]) -> Measured:
        """Return the column over `clips`, measured once. Raises NotMeasurable with the reason."""
        key = (column, tuple(clips))
        if key not in self._measured:
            metric = self._exam.metrics[column]
            sets = _Sets(
                self._exam, self._items, self._heard, clips, self._transcripts, self._numbers
            )
            if (source := self._exam.sources.get(column)) is None:
                result = measure(metric, sets)
            else:
                recordings = len(self._exam.recordings)
                result = measure_outside(metric, sets, source, clips, recordings)
            self._measured[key] = self._state(result, clips)
        return self._measured[key]

    def _state(self, result: Tested | TwoSample | Ratio | np.ndarray, clips: list[str]) -> Measured:
        if isinstance(result, Tested):
            return self._state(result.sample, clips)._replace(p_value=result.p_value)
        groups = self._exam.groups
        members = np.array([self._numbers[clip] for clip in clips])
        if isinstance(result, np.ndarray):
            per_clip = dict(zip(clips, result.tolist(), strict=True))
            return Measured(bootstrap.mean(result, members, groups.count), per_clip)
        if isinstance(result, Ratio):
            try:
                return Measured(ratio_statistic(*result, members, groups.count), {})
            except ValueError as error:
                raise NotMeasurable(str(error)) from None
        total = shares(result.gen, members, groups.count)
        if len(result.ref):
            # The reference set is resampled too: its recordings move the distance as clips do.
            theirs = np.array([groups.recordings[name] for name in self._exam.recordings])
            total = total + shares(result.ref, theirs, groups.count)
        return Measured(Statistic(result.value, total, len(clips)), {}, whole=True)

    def _lack(self, column: str, clips: list[str]) -> str | None:
        metric = self._exam.metrics[column]
        if reason := self._exam.lack(metric):
            return reason
        items = [self._items[clip] for clip in self._heard.keys if clip in self._items]
        if "pair" in metric.needs and items and not any(item.references for item in items):
            return "the outputs are not paired with the recordings"
        if "caption" in metric.needs and items and not any(item.captions for item in items):
            return "the outputs have no captions"
        if "transcript" in metric.needs and not clips:
            return "no transcripts"
        return too_few(metric, len(clips), self.different(clips))

    @property
    def _numbers(self) -> Mapping[str, int]:
        """The group of each clip; the clips of a sanity row are the recordings themselves."""
        groups = self._exam.groups
        return groups.clips if self._items is self._exam.items else groups.recordings


class _Sets:
    """`metrics.sets.Sets` over some clips of one set of sounds."""

    def __init__(
        self,
        exam: Exam,
        items: Mapping[str, Item],
        heard: Heard,
        clips: list[str],
        transcripts: Mapping[str, str],
        numbers: Mapping[str, int],
    ) -> None:
        self._exam, self._heard, self._clips = exam, heard, clips
        self._transcripts, self._numbers = transcripts, numbers
        self._chosen = [items[clip] for clip in clips]
        self.rules = exam.protocol

    @property
    def labels(self) -> np.ndarray:
        return self._exam.events(self._chosen)

    @property
    def thresholds(self) -> np.ndarray:
        return self._exam.networks["tagger"].embedder.thresholds

    @property
    def steps(self) -> list[tuple[tuple[int, ...], ...]]:
        return self._exam.steps(self._chosen)

    @property
    def window_thresholds(self) -> np.ndarray:
        return self._exam.networks["timeline"].embedder.thresholds

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [
            (item.said or "", self._transcripts[clip])
            for clip, item in zip(self._clips, self._chosen, strict=True)
        ]

    @property
    def units(self) -> np.ndarray:
        """Of one group and of equal sound: outputs, then recordings."""
        heard, references = self._heard.keys, self._exam.references.keys
        keys = [(self._numbers[clip], heard[clip]) for clip in self._clips]
        keys += [(-1, references[name]) for name in self._exam.recordings]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys])

    def gen(self, role: str) -> list[Features]:
        return self._heard.features(role, self._clips)

    def ref(self, role: str) -> list[Features]:
        return self._exam.references.features(role, self._exam.recordings)

    def pairs(self, role: str) -> list[Pair]:
        references, known = self._exam.references, self._exam.references.keys
        return [
            Pair(
                gen, references.features(role, [name for name in item.references if name in known])
            )
            for gen, item in zip(self.gen(role), self._chosen, strict=True)
        ]

    def captions(self, role: str) -> list[np.ndarray]:
        rows = self._exam.heard_captions[role]
        return [np.stack([rows[caption] for caption in item.captions]) for item in self._chosen]

    def once(self, key: str, make: Callable[[], T]) -> T:
        return self._exam.once(key, make)


def too_few(metric: Metric, clips: int, different: int | None = None) -> str | None:
    """Return why `clips`, of which so many are `different`, are not enough, or None."""
    different = clips if different is None else different
    if different >= metric.least:
        return None
    copies = f" ({clips} with copies)" if different < clips else ""
    return f"needs at least {metric.least} clips, has {different}{copies}"


def needed_roles(metrics: Iterable[Metric]) -> list[str]:
    """Return the networks that metrics need, in the order of roles."""
    needs = {need for metric in metrics for need in metric.needs}
    return [role for role in ROLES if role in needs]
