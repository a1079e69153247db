"""A column of two runs, paired by clip: the difference, its interval and its permutation test."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stabench.harness.compare.evidence import ColumnEvidence
from stabench.harness.formatting import counted
from stabench.harness.stats import bootstrap
from stabench.harness.stats.bootstrap import REPLICATES, Draws, Statistic
from stabench.harness.stats.permutation import DRAWS, sign_flip


class Sampling(NamedTuple):
    """How many resamples of an interval, how many draws of a test, and their seed."""

    resamples: int = REPLICATES
    draws: int = DRAWS
    seed: int = 0


STANDARD = Sampling()


class Change(NamedTuple):
    """New against old over `n` clips: a difference, or for times a ratio, with its 95 % interval.

    `p_value` is two-sided, `least_p` the smallest that so few clips can give. `effect_size` is the
    mean difference over the standard deviation of the differences (d_z; Cohen, 1988), of logs for
    a ratio; None where they do not vary. `drifted`: noise that lasted as long as the run cannot be
    told from a change (stats/bootstrap.py), so that the p-value says nothing.
    """

    old: float
    new: float
    change: float
    low: float
    high: float
    n: int
    p_value: float
    least_p: float
    effect_size: float | None
    drifted: bool = False


class Parts(NamedTuple):
    """What each unit (a clip, or clips that share a recording) adds to a difference.

    `parts` [units] sum to new minus old; `weights` [units] are the shares of clips and sum to 1.
    """

    old: float
    new: float
    parts: np.ndarray
    weights: np.ndarray
    n: int


def measure_change(
    old: ColumnEvidence,
    new: ColumnEvidence,
    groups: Mapping[str, str],
    sampling: Sampling = STANDARD,
) -> Change | str:
    """Return the change of a column, or why it cannot be measured. `groups`: see Evidence."""
    pair = pair_columns(old, new, groups)
    if isinstance(pair, str):
        return pair
    difference = float(pair.parts.sum())
    # The influence of a unit: its part, less what its share of the clips would bring on average.
    statistic = Statistic(difference, pair.parts - difference * pair.weights, pair.n)
    ends = bootstrap.interval(statistic, _draw_units(len(pair.parts), sampling))
    assert ends.low is not None
    assert ends.high is not None
    test = sign_flip(pair.parts, draws=sampling.draws, seed=sampling.seed)
    return Change(
        pair.old,
        pair.new,
        difference,
        ends.low,
        ends.high,
        pair.n,
        test.p_value,
        test.least,
        standardise(pair.parts),
    )


def pair_columns(
    old: ColumnEvidence, new: ColumnEvidence, groups: Mapping[str, str]
) -> Parts | str:
    """Return the paired differences of units, or why there are none."""
    if old.value is None and new.value is None and old.reason == new.reason:
        return f"in both runs: {new.reason}"
    for column, which in ((old, "old"), (new, "new")):
        if column.value is None:
            return f"{which} run: {column.reason}"
    if old.kind != new.kind:
        return f"a {old.kind} in the old run, a {new.kind} in the new one"
    return _pair_sets(old, new) if old.kind == "set" else _pair_clips(old, new, groups)


def _pair_sets(old: ColumnEvidence, new: ColumnEvidence) -> Parts | str:
    """Return the differences of the pseudo-values of two wholes, over the same clips only."""
    if old.n == new.n and len(old.per_clip) != len(new.per_clip):
        return (
            f"over {len(old.per_clip)} different sounds in the old run, {len(new.per_clip)} in the "
            "new one: copies count once; score the older run again"
        )
    if old.per_clip.keys() != new.per_clip.keys() or old.n != new.n:
        return (
            f"over other clips: {old.n} in the old run, {new.n} in the new one; a set metric "
            "needs the same"
        )
    assert old.value is not None
    assert new.value is not None
    units = len(old.per_clip)
    if units < 2:
        return f"needs at least 2 clips, has {units}"
    # Pseudo-values have the value as their mean, so these parts sum to the difference.
    differences = np.array([new.per_clip[key] - old.per_clip[key] for key in old.per_clip]) / units
    return Parts(old.value, new.value, differences, np.full(units, 1 / units), old.n)


def _pair_clips(old: ColumnEvidence, new: ColumnEvidence, groups: Mapping[str, str]) -> Parts | str:
    """Return the differences over the clips that both runs have, clips of a group summed."""
    both = old.per_clip.keys() & new.per_clip.keys()
    # A ratio without a word in these clips has no values, although both runs have the clips.
    before, after = old.over(both), new.over(both)
    clips = sorted(before.keys() & after.keys())
    numbers: dict[str, int] = {}
    unit = [numbers.setdefault(groups.get(clip, clip), len(numbers)) for clip in clips]
    if len(numbers) < 2:
        return f"needs at least 2 clips that both have, has {len(clips)}"
    a, b = (np.array([values[clip] for clip in clips]) for values in (before, after))
    # Clips of one recording are one unit: they turn their signs together.
    parts = np.bincount(unit, b - a) / len(clips)
    return Parts(
        float(a.mean()), float(b.mean()), parts, np.bincount(unit) / len(clips), len(clips)
    )


def standardise(differences: np.ndarray) -> float | None:
    """Return mean over standard deviation of differences [units]; None where they do not vary."""
    deviation = float(np.std(differences, ddof=1))
    return float(np.mean(differences)) / deviation if deviation > 0 else None


def describe_unpaired(old: ColumnEvidence, new: ColumnEvidence) -> str | None:
    """Return what a reader should know of clips that one of the runs lacks, or None."""
    lost, gained = (len(a.per_clip.keys() - b.per_clip.keys()) for a, b in ((old, new), (new, old)))
    if old.kind == "set" or not (lost or gained):
        return None
    return f"{counted(lost, 'clip')} only in the old run, {counted(gained, 'clip')} only in the new"


# The draws are the same for all columns of as many units.
@lru_cache(maxsize=8)
def _draw_units(units: int, sampling: Sampling) -> Draws:
    return Draws.of(units, replicates=sampling.resamples, seed=sampling.seed)
