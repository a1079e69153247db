"""Latency: raw nanoseconds in, statistics on demand, refused where n is too small for them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from stabench.harness.stats import bootstrap
from stabench.harness.stats.bootstrap import tails
from stabench.harness.stats.estimate import Estimate

# From samples [..., N], NaN where there is none, to one number each [...].
Statistic = Callable[[np.ndarray], np.ndarray]


def least_n(percent: float) -> int:
    """Return how many samples are needed before a percentile is printed.

    The smallest n for which at least two samples lie beyond the percentile with 99 % probability
    (binomial: n of p50 is 11, of p90 64, of p95 130, of p99 662).

    >>> [least_n(percent) for percent in (50, 90, 95, 99)]
    [11, 64, 130, 662]
    """
    beyond = min(percent, 100 - percent) / 100
    if beyond <= 0:
        raise ValueError(f"percentile {percent}: expected above 0 and below 100")
    n = 2
    while sum(comb(n, k) * beyond**k * (1 - beyond) ** (n - k) for k in (0, 1)) > 0.01:
        n += 1
    return n


@dataclass(frozen=True)
class Latency:
    """Wall times of one phase of one system, ns, warm-ups and failures already left out.

    They are in the order in which they were measured: what was slow together is resampled together
    (stats/bootstrap.py), and where the machine drifted as slowly as the run, there is no interval.
    `clips` names the clip of each sample; without it every sample is a clip
    of its own. Repeats of a clip tell nothing about other clips: intervals resample clips, and
    percentiles count clips.

    >>> times = Latency([*range(1_000_000, 13_000_000, 1_000_000)])
    >>> times.mean.value, times.median.value, times.percentile(90).reason
    (6500000.0, 6500000.0, 'p90 needs 64 clips, there are 12')
    """

    samples_ns: Sequence[float]
    clips: Sequence[str] = ()
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips and len(self.clips) != len(self.samples_ns):
            raise ValueError(f"{len(self.samples_ns)} samples, but {len(self.clips)} clip names")

    @property
    def n(self) -> int:
        """Samples, repeats included."""
        return len(self.samples_ns)

    @property
    def n_clips(self) -> int:
        """Distinct clips."""
        return len(self._by_clip)

    @cached_property
    def mean(self) -> Estimate:
        """Mean, ns, with its interval and the standard deviation of the samples."""
        mean = self._estimate(lambda samples: np.nanmean(samples, axis=-1))
        return mean._replace(sd=self.sd_ns)

    @property
    def median(self) -> Estimate:
        """Median, ns, with its interval; refused below 11 clips."""
        return self.percentile(50)

    @property
    def sd_ns(self) -> float | None:
        """Standard deviation of the samples (n - 1), ns; None below two samples."""
        return float(np.std(self.samples_ns, ddof=1)) if self.n > 1 else None

    def percentile(self, percent: float) -> Estimate:
        """Return the percentile (linear between samples), ns; a reason where clips are too few."""
        needed = least_n(percent)
        if self.n_clips < needed:
            return Estimate.missing(
                f"p{percent:g} needs {needed} clips, there are {self.n_clips}", self.n_clips
            )
        # The same numbers either way; the variant that skips NaN is far slower.
        ragged = np.isnan(self._by_clip).any()
        quantile = np.nanpercentile if ragged else np.percentile
        return self._estimate(lambda samples: quantile(samples, percent, axis=-1))

    def _estimate(self, statistic: Statistic) -> Estimate:
        """Return the statistic with its bootstrap interval over clips."""
        if not self.n:
            return Estimate.missing("no timed clips")
        value = float(statistic(np.asarray(self.samples_ns, dtype=float)))
        if self.n_clips < 2:
            return Estimate(value, n=self.n_clips, reason="one clip: no interval")
        if bootstrap.has_drift(self._logs):
            return Estimate(value, n=self.n_clips, reason=f"{bootstrap.DRIFT}: no interval")
        samples = self._by_clip[self._draws].reshape(self.resamples, -1)
        # Blocks, not clips, are the independent things, and an interval needs two of them.
        count = -(-self.n_clips // self._block_length)
        low, high = np.quantile(statistic(samples), tails(max(2, count)))
        return Estimate(value, float(low), float(high), self.n_clips)

    @cached_property
    def _by_clip(self) -> np.ndarray:
        """Samples [clips, repeats], NaN where a clip has fewer repeats than another."""
        groups = defaultdict(list)
        for index, sample in enumerate(self.samples_ns):
            groups[self.clips[index] if self.clips else str(index)].append(sample)
        widest = max(map(len, groups.values()), default=0)
        grid = np.full((len(groups), widest), np.nan)
        for row, samples in zip(grid, groups.values(), strict=True):
            row[: len(samples)] = samples
        return grid

    @cached_property
    def _draws(self) -> np.ndarray:
        """Clips drawn with replacement [resamples, clips]; the same for every statistic."""
        length = self._block_length
        return bootstrap.draw_blocks(self.n_clips, length, resamples=self.resamples, seed=self.seed)

    @cached_property
    def _block_length(self) -> int:
        """Clips that are drawn together."""
        return bootstrap.block_length(self._logs, bootstrap.LEAST_OF_INTERVAL)

    @cached_property
    def _logs(self) -> np.ndarray:
        """Logarithms [clips], in which one long time does not outweigh all others."""
        return np.log(np.maximum(np.nanmean(self._by_clip, axis=1), 1))
