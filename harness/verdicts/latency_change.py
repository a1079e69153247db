"""A latency of two runs, paired by clip: the ratio, its interval and its permutation test.

Times of neighbours are alike: a machine is slow in bursts of several clips (other processes, heat,
the clock). Clips that were measured one after the other therefore stay together in blocks, in
the interval (circular block bootstrap; Politis and Romano, 1992) as in the test, and a block is
three times as long as the noise remembers. With the noise of a shared machine, two runs of one
system have p <= 0.05 in 6.5 % of simulated comparisons so, and in 23 % taken clip by clip.
"""

from statistics import median

import numpy as np

from harness.verdicts.paired import STANDARD, Change, Sampling, standardised
from harness.verdicts.permutation import sign_flip
from harness.verdicts.record import Samples

BLOCK = 3
"""Lengths of memory in a block; simulated in tests/harness/verdicts/test_false_alarms.py."""
SHORTEST_MEMORY = 1.2
"""A memory below it cannot be told from that of independent clips."""
LEAST_BLOCKS = 12
"""Fewer could not show a change at all: their smallest p-value would be too large."""


def change(old: Samples, new: Samples, sampling: Sampling = STANDARD) -> Change | str:
    """New over old: the median over clips of the ratios of each clip's median times, or why not.

    `old` and `new` of the result are the medians over these clips, ns; `change` and its ends are
    ratios. The test is of the signed ranks of the mean logs of blocks (Wilcoxon, 1945), which a few
    clips that another process held up cannot carry away, as they can a mean.
    """
    clips = [clip for clip in new if clip in old]
    if len(clips) < 2:
        return f"needs at least 2 clips timed in both runs, has {len(clips)}"
    before, after = (np.array([median(one[clip]) for clip in clips]) for one in (old, new))
    if min(before.min(), after.min()) <= 0:
        return "a time of 0 ns has no ratio"
    logs = np.log(after / before)
    length = block_length(logs)
    ranks = signed_ranks(_block_means(logs, length))
    test = sign_flip(ranks, draws=sampling.draws, seed=sampling.seed)
    medians = np.median(logs[_drawn(len(logs), length, sampling)], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    value = float(np.median(logs))
    return Change(
        float(np.median(before)),
        float(np.median(after)),
        float(np.exp(value)),
        float(np.exp(min(low, value))),
        float(np.exp(max(high, value))),
        len(clips),
        test.p_value,
        test.least,
        standardised(logs),
    )


def _block_means(series: np.ndarray, length: int) -> np.ndarray:
    starts = np.arange(0, len(series), length)
    return np.add.reduceat(series, starts) / np.diff(starts, append=len(series))


def signed_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value by its size, 1 the smallest, with the value's sign; 0 has none.

    >>> signed_ranks(np.array([0.3, -0.1, 0.0, 5.0])).tolist()
    [3.0, -2.0, 0.0, 4.0]
    """
    ranks = np.empty(len(values))
    ranks[np.argsort(np.abs(values), kind="stable")] = np.arange(1, len(values) + 1)
    return np.sign(values) * ranks


def block_length(series: np.ndarray) -> int:
    """Clips in a block: three times the memory of the series, but so few that 12 blocks remain."""
    memory = integrated_time(series)
    wanted = 1 if memory <= SHORTEST_MEMORY else int(np.ceil(BLOCK * memory))
    return max(1, min(wanted, len(series) // LEAST_BLOCKS))


def integrated_time(series: np.ndarray) -> float:
    """How many neighbours tell as much as one alone: 1 + 2 sum of autocorrelations, at least 1.

    Summed in pairs of lags while those are positive and fall (Geyer, 1992, initial monotone
    sequence), over at most a third of the series.
    """
    centred = series - series.mean()
    power, lags = float(centred @ centred), len(series) // 3 // 2 * 2
    if power <= 0 or not lags:
        return 1.0
    rho = [float(centred[: len(series) - k] @ centred[k:]) / power for k in range(lags)]
    pairs = np.minimum.accumulate(np.array(rho).reshape(-1, 2).sum(axis=1))
    return max(1.0, 2 * float(pairs[pairs > 0].sum()) - 1)


def _drawn(clips: int, length: int, sampling: Sampling) -> np.ndarray:
    """Indices [resamples, clips] of blocks that begin anywhere, the end followed by the start."""
    rng = np.random.default_rng(sampling.seed)
    starts = rng.integers(clips, size=(sampling.resamples, -(-clips // length)))
    blocks = (starts[:, :, None] + np.arange(length)) % clips
    return blocks.reshape(sampling.resamples, -1)[:, :clips]
