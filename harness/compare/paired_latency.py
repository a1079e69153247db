"""A latency of two runs, paired by clip: the ratio, its interval and its permutation test.

Clips that were measured one after the other stay together in blocks (stats/bootstrap.py), in the
interval as in the test. With the noise of a shared machine, two runs of one system have p <= 0.05
in 6.5 % of simulated comparisons so, and in 23 % taken clip by clip; called slower (two phases,
Holm, 5 % or more) they are in 3 % at 144 clips, 5 % at 36, 9 % at 24, which are too few for blocks
as long as such noise asks for. Scores that bound or forget the clips of a burst (signs, medians of
blocks, redescending ones) find no more there: the blocks are the data.

Noise that lasts as long as the run is told from the times themselves (`has_drift`), and nothing is
called then: of two runs of 144 clips, one after the other, whose logs are AR(1) with 0.9, 0.95 and
0.98, 7, 13 and 26 in 100 were called slower, and 1 at most is. With scatter of two thirds of the
drift on top, drift is harder to see: 2, 3 and 9. Runs of 36 clips are called slower in at most 6.
Old and new that were interleaved share such noise, and it cancels.
"""

from statistics import median

import numpy as np

from stabench.harness.compare.evidence import Samples
from stabench.harness.compare.paired import STANDARD, Change, Sampling, standardise
from stabench.harness.stats.bootstrap import (
    block_length,
    block_means,
    draw_blocks,
    has_drift,
    tails,
)
from stabench.harness.stats.permutation import sign_flip


def measure_change(old: Samples, new: Samples, sampling: Sampling = STANDARD) -> Change | str:
    """Return new over old: the median over clips of the ratios of each clip's median times.

    `old` and `new` of the result are the medians over these clips, ns; `change` and its ends are
    ratios. The test is of the signed ranks of the mean logs of blocks (Wilcoxon, 1945). Where
    there is no ratio, return why.
    """
    clips = [clip for clip in new if clip in old]
    if len(clips) < 2:
        return f"needs at least 2 clips timed in both runs, has {len(clips)}"
    before, after = (np.array([median(samples[clip]) for clip in clips]) for samples in (old, new))
    if min(before.min(), after.min()) <= 0:
        return "a time of 0 ns has no ratio"
    logs = np.log(after / before)
    length = block_length(logs)
    # Ranks: a few clips that another process held up cannot carry them away, as they can a mean.
    ranks = signed_ranks(block_means(logs, length))
    test = sign_flip(ranks, draws=sampling.draws, seed=sampling.seed)
    index = draw_blocks(len(logs), length, resamples=sampling.resamples, seed=sampling.seed)
    low, high = np.quantile(np.median(logs[index], axis=1), tails(max(2, len(ranks))))
    value = float(np.median(logs))
    # Ranks that point the other way than the median are no evidence for it.
    against = value * ranks.sum() < 0
    return Change(
        float(np.median(before)),
        float(np.median(after)),
        float(np.exp(value)),
        float(np.exp(min(low, value))),
        float(np.exp(max(high, value))),
        len(clips),
        1.0 if against else test.p_value,
        test.least,
        standardise(logs),
        has_drift(logs),
    )


def signed_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value by its size, 1 the smallest, with its sign; 0 has none.

    >>> signed_ranks(np.array([0.3, -0.1, 0.0, 5.0])).tolist()
    [3.0, -2.0, 0.0, 4.0]
    """
    ranks = np.empty(len(values))
    ranks[np.argsort(np.abs(values), kind="stable")] = np.arange(1, len(values) + 1)
    return np.sign(values) * ranks
