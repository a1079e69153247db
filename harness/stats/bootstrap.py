"""Intervals by resampling clips (Efron and Tibshirani, 1993), 95 %, seeded.

The unit is the clip, never the frame: frames of one clip are alike. Clips that share a recording
are one group and are drawn together. All systems of a run share one `Draws`, so a replicate holds
the same clips for each and their differences are paired.

Every statistic comes as its value and the share of each group in it (its influence over the
number of clips; metrics/sets.py), so a replicate is a sum, and one formula serves means,
distances and their differences. The interval is for what the same protocol with as many clips
gives on average, not for infinitely many: FAD, FD and IS are biased at small N, and stay so.

Each replicate is divided by its own standard error (bootstrap-t; Efron, 1981; Hall, 1988): scores
of clips are skewed, and quantiles of plain replicates reach too little to the side of the long
tail. Of 100 such intervals so many hold the true value (tests/harness/stats/test_coverage.py
simulates it, with skewed scores, and features in clusters with heavy tails):

    clips                          12    24    36    72   144
    mean, gamma                    94    96    94    96    95
    mean, lognormal (skew 6)       91    91    92    92    94
    KL                             93    98    97    97    96
    KL, paired difference          94    95    94    94    95
    CLAP                           94    94    95    96    95
    recall, order                96+   98+   98+    96    96
    FAD, FD                        94    92    94    93    93
    KAD                           99+    97    94    94    94
    KID                          (82)  (89)  (89)    96    96
    IS                              -  (65)  (82)    95    97

In brackets: too few, so that IS and KID are refused below 72 clips. Below 12 clips no interval is
to be trusted, and the report says so. Resampled from the pocket's own clips, FAD, KL and (up to 72)
FD hold in 93 to 98; by expanded percentiles, which were used here before, in 88 to 97.

Latencies have blocks of clips and expanded quantiles instead (`tails`; stats/latency.py).
"""

from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from stabench.harness.stats.estimate import Estimate

REPLICATES = 1000
LEVEL = 0.95
# The least variance of a replicate, as a share of the data's: one that drew nearly the same clip
# all the time would be divided by nothing.
LEAST_VARIANCE = 0.1
# Shares below it, of the value, are rounding.
EQUAL = 1e-12
# Clips away from a bound below which a share near 0 or 1 has the interval of counts, too.
FEW_COUNTS = 5


class Draws(NamedTuple):
    """How often each group occurs in each replicate: `counts` int [B, groups]."""

    counts: np.ndarray

    @classmethod
    def of(cls, groups: int, *, replicates: int = REPLICATES, seed: int = 0) -> "Draws":
        """Draw `replicates` samples of `groups` with replacement. Raises ValueError under 2."""
        if groups < 2:
            raise ValueError(f"bootstrap: {groups} clips, expected at least 2; score more clips")
        if replicates < 2:
            raise ValueError(f"bootstrap: {replicates} replicates, expected at least 2, or 1000")
        even = np.full(groups, 1 / groups)
        return cls(np.random.default_rng(seed).multinomial(groups, even, size=replicates))


@cache
def tails(units: float) -> tuple[float, float]:
    """Return the quantiles of replicates at which an interval over `units` resampled things ends.

    Resampling n things varies by sqrt((n - 1) / n) too little, and a normal quantile stands where
    Student's belongs; both are mended in the quantile (Hesterberg, 2015, "What teachers should
    know about the bootstrap", section 5.2). Raises ValueError under 2.

    Wider than 2.5 % and 97.5 % where clips are few, and the same in the limit:

    >>> [[round(end, 4) for end in tails(units)] for units in (12, 144, 1e9)]
    [[0.0108, 0.9892], [0.0237, 0.9763], [0.025, 0.975]]
    """
    if units < 2:
        raise ValueError(f"bootstrap: {units} clips, expected at least 2; score more clips")
    normal = NormalDist()
    wide = student(normal.inv_cdf((1 - LEVEL) / 2), units - 1)
    low = normal.cdf(wide * (units / (units - 1)) ** 0.5)
    return low, 1 - low


def student(z: float, degrees: float) -> float:
    """Return Student's t quantile where the normal one is `z` (Abramowitz and Stegun, 26.7.5).

    At 2.5 % within 0.02 % from 5 degrees of freedom on, within 1 % at 2.

    Tables give 2.228 at 10 degrees of freedom, where the normal quantile is 1.960:

    >>> round(student(1.95996, 10), 3)
    2.228
    """
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))


class Statistic(NamedTuple):
    """A number over `n` clips: its `value`, and the `shares` [groups] that the groups have in it.

    A replicate that holds group g counts[g] times has about the value plus counts @ shares.
    """

    value: float
    shares: np.ndarray
    n: int


def shares(influence: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return shares [groups] from the `influence` [N] of clips of a `group` (indices [N]).

    >>> shares(np.array([3.0, -4.0, 1.0, 0.0]), np.array([0, 0, 1, 1]), 2).tolist()
    [-0.25, 0.25]
    """
    return np.bincount(group, influence / len(influence), minlength=groups)


def mean(values: np.ndarray, group: np.ndarray, groups: int) -> Statistic:
    """Return the mean of per-clip `values` [N]; NaN marks a clip without one, which is left out.

    Raises ValueError when fewer than 2 remain or one is infinite.

    Of 1, 3 and a clip without a value, each in a group of its own, -1 and 1 from the mean of 2:

    >>> statistic = mean(np.array([1.0, 3.0, np.nan]), np.arange(3), 3)
    >>> statistic.value, statistic.shares.tolist(), statistic.n
    (2.0, [-0.5, 0.5, 0.0], 2)
    """
    values, group = np.asarray(values, dtype=np.float64), np.asarray(group)
    if np.isinf(values).any():
        raise ValueError("bootstrap: a value is infinite, expected finite ones; check the metric")
    present = np.isfinite(values)
    if present.sum() < 2:
        raise ValueError(
            f"bootstrap: {present.sum()} of {len(values)} clips have a value, expected at least "
            "2; score more clips"
        )
    kept = values[present]
    value = float(kept.mean())
    return Statistic(value, shares(kept - value, group[present], groups), len(kept))


def difference(a: Statistic, b: Statistic) -> Statistic:
    """Return `a` minus `b` on the same groups: what moves both alike cancels.

    >>> groups = np.arange(3)
    >>> old = mean(np.array([1.0, 5.0, 9.0]), groups, 3)
    >>> new = mean(np.array([2.0, 6.0, 10.0]), groups, 3)
    >>> interval(difference(new, old), Draws.of(3))[:4]
    (1.0, 1.0, 1.0, 3)
    """
    return Statistic(a.value - b.value, a.shares - b.shares, min(a.n, b.n))


def interval(statistic: Statistic, draws: Draws) -> Estimate:
    """Return the bootstrap-t interval. Raises ValueError when `draws` are for other groups.

    Of 400 values it is as wide as about four standard errors (Student's t: 3.93):

    >>> values = np.random.default_rng(0).standard_normal(400)
    >>> ends = interval(mean(values, np.arange(400), 400), Draws.of(400))
    >>> round((ends.high - ends.low) / (values.std() / 20))
    4
    """
    value, parts = statistic.value, statistic.shares
    groups = len(parts)
    if groups != draws.counts.shape[1]:
        raise ValueError(
            f"bootstrap: shares of {groups} groups, draws are for "
            f"{draws.counts.shape[1]}; use Draws.of(groups)"
        )
    variance = groups * float(parts @ parts)
    # Equal clips, but for rounding, vary by nothing.
    if variance <= (EQUAL * value) ** 2:
        return Estimate(value, value, value, statistic.n)
    moved = draws.counts @ parts
    variances = groups * (draws.counts @ parts**2) - moved**2
    scaled = moved / np.sqrt(np.maximum(variances, LEAST_VARIANCE * variance))
    # The long tail of replicates lies to one side, so the interval's lies to the other.
    last, first = np.quantile(scaled, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) * np.sqrt(variance)
    low, high = value - float(first), value - float(last)
    return Estimate(value, min(low, value), max(high, value), statistic.n)


def bound(
    estimate: Estimate, units: int, lowest: float | None, highest: float | None = None
) -> Estimate:
    """Return the estimate with its interval inside what the number can be.

    A mean over `units` of values between both bounds that lies near one of them says little of its
    own spread: with fewer than FEW_COUNTS clips' worth between them its interval also holds that
    of a share (Wilson, 1927), the widest that such values can have.

    All of 12 clips are right; the truth may well be 80 %:

    >>> right = bound(Estimate(1.0, 1.0, 1.0, n=12), 12, 0.0, 1.0)
    >>> right.value, round(right.low, 2), right.high
    (1.0, 0.76, 1.0)
    """
    value, low, high = estimate[:3]
    if value is None or low is None or high is None:
        return estimate
    if lowest is not None and highest is not None:
        width = highest - lowest
        share = min(max((value - lowest) / width, 0.0), 1.0)
        if units * min(share, 1 - share) < FEW_COUNTS:
            least, most = wilson(share, units)
            low, high = min(low, lowest + width * least), max(high, lowest + width * most)
    low = low if lowest is None else max(low, lowest)
    high = high if highest is None else min(high, highest)
    return estimate._replace(low=min(low, value), high=max(high, value))


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927, J. Am. Stat. Assoc. 22, 209-212)."""
    spread = z * z / n
    centre = share + spread / 2
    half = z * (share * (1 - share) / n + spread / (4 * n)) ** 0.5
    low, high = (centre - half) / (1 + spread), (centre + half) / (1 + spread)
    return max(0.0, low), min(1.0, high)


def ratio_statistic(
    numerators: np.ndarray, denominators: np.ndarray, group: np.ndarray, groups: int
) -> Statistic:
    """Return sum over sum of per-clip values [N], with its influence to first order.

    Raises ValueError where the denominator is 0.

    One error in 4 words and none in 2:

    >>> words = np.array([4.0, 2.0])
    >>> rate = ratio_statistic(np.array([1.0, 0.0]), words, np.arange(2), 2)
    >>> round(rate.value, 4), rate.shares.round(4).tolist()
    (0.1667, [0.0556, -0.0556])
    """
    n, whole = len(denominators), float(np.sum(denominators))
    if not whole:
        raise ValueError("nothing to divide by: the denominator is 0")
    value = float(np.sum(numerators)) / whole
    # The derivative of sum over sum by a clip's weight.
    influence = (numerators - value * denominators) * n / whole
    return Statistic(value, shares(influence, group, groups), n)


def ratio(
    numerators: np.ndarray, denominators: np.ndarray, counts: np.ndarray, units: int | None = None
) -> Estimate:
    """Return sum over sum of per-clip values [N], resampled by clip: `counts` [B, N].

    `units` are the things drawn, where they are not the clips. Word error rate is errors over
    words; a share of a ceiling is recall over recall. Without anything in the denominator there is
    no ratio; its interval skips such replicates.

    One error in 4 words and none in 2, and what two clips drawn from these two can be:

    >>> counts = np.array([[1, 1], [1, 1], [2, 0], [0, 2]])
    >>> rate = ratio(np.array([1, 0]), np.array([4, 2]), counts)
    >>> round(rate.value, 4), rate.n
    (0.1667, 2)
    """
    n, whole = len(denominators), float(np.sum(denominators))
    if not whole:
        return Estimate.missing("nothing to divide by: the denominator is 0", n)
    below = counts @ denominators
    samples = (counts @ numerators)[below > 0] / below[below > 0]
    low, high = np.quantile(samples, tails(units or n))
    return Estimate(float(np.sum(numerators)) / whole, float(low), float(high), n)


# Lengths of memory in a block; simulated in tests/harness/gate/test_false_alarms.py.
BLOCK = 3
# A memory below it cannot be told from that of independent clips.
SHORTEST_MEMORY = 1.2
# Fewer could not show a change at all: their smallest p-value would be too large.
LEAST_BLOCKS = 12
# An interval needs fewer than a test does: longer blocks cover more where noise lasts.
LEAST_OF_INTERVAL = 6


def block_length(series: np.ndarray, least: int = LEAST_BLOCKS) -> int:
    """Return the clips in a block: three times the memory, but so few that `least` remain."""
    memory = integrated_time(series)
    wanted = 1 if memory <= SHORTEST_MEMORY else int(np.ceil(BLOCK * memory))
    return max(1, min(wanted, len(series) // least))


DRIFT = "the machine drifted during the run"
# Neighbours that correlate this much, of some 48 parts of a run, are still alike in blocks. Short
# noise leaves less in means of three clips or more, and scatter hides less of the drift there.
MOST_ALIKE, MOST_ALIKE_MEANS = 0.6, 0.5
PARTS = 48
ROUNDING = 1e-6
# A memory that is short in itself, however few the clips are.
SHORT_MEMORY = 4.0


def has_drift(series: np.ndarray) -> bool:
    """Return whether what slows clips [N], in the order of time, lasts too long to be told from a
    change: no block is so long that the next one is independent of it.

    Either the memory leaves fewer than 12 independent clips, or neighbouring parts of the run
    correlate by more than 0.6 (0.5 where a part is three clips or more).
    Simulated in tests/harness/compare/test_drift.py.

    Times that climb through the whole run, and such as only scatter:

    >>> scatter = np.random.default_rng(0).standard_normal(72)
    >>> has_drift(scatter), has_drift(scatter + np.linspace(0, 6, 72))
    (False, True)
    """
    if len(series) < LEAST_BLOCKS:
        return False
    length = max(1, len(series) // PARTS)
    parts = block_means(series, length)
    centred = parts - parts.mean()
    power = float(centred @ centred)
    # Whole nanoseconds of times that do not vary are no drift.
    if power <= len(parts) * (ROUNDING * max(1.0, float(np.abs(series).max()))) ** 2:
        return False
    alike = float(centred[1:] @ centred[:-1]) / power
    longest = max(len(series) / LEAST_BLOCKS, SHORT_MEMORY)
    most = MOST_ALIKE if length < 3 else MOST_ALIKE_MEANS
    return alike > most or integrated_time(series) > longest


def integrated_time(series: np.ndarray) -> float:
    """Return 1 + 2 sum of autocorrelations, at least 1: how many neighbours tell as much as one.

    Summed in pairs of lags while those are positive and fall (Geyer, 1992, initial monotone
    sequence), over at most a third of the series.

    Every value three times over tells as much as one, values that alternate more than one each:

    >>> values = np.random.default_rng(0).standard_normal(2000)
    >>> round(integrated_time(np.repeat(values, 3)), 1), integrated_time(np.tile([1.0, -1.0], 30))
    (3.0, 1.0)
    """
    centred = series - series.mean()
    power, lags = float(centred @ centred), len(series) // 3 // 2 * 2
    if power <= 0 or not lags:
        return 1.0
    rho = [float(centred[: len(series) - k] @ centred[k:]) / power for k in range(lags)]
    pairs = np.minimum.accumulate(np.array(rho).reshape(-1, 2).sum(axis=1))
    return max(1.0, 2 * float(pairs[pairs > 0].sum()) - 1)


def block_means(series: np.ndarray, length: int) -> np.ndarray:
    """Return the mean of each block [blocks]; the last may be shorter.

    >>> block_means(np.array([1.0, 3.0, 5.0, 7.0, 9.0]), 2).tolist()
    [2.0, 6.0, 9.0]
    """
    starts = np.arange(0, len(series), length)
    return np.add.reduceat(series, starts) / np.diff(starts, append=len(series))


def draw_blocks(clips: int, length: int, *, resamples: int, seed: int) -> np.ndarray:
    """Draw indices [resamples, clips] of blocks that begin anywhere, the end followed by the start.

    The circular block bootstrap (Politis and Romano, 1992); of length 1, that of single clips.
    """
    rng = np.random.default_rng(seed)
    starts = rng.integers(clips, size=(resamples, -(-clips // length)))
    blocks = (starts[:, :, None] + np.arange(length)) % clips
    return blocks.reshape(resamples, -1)[:, :clips]
