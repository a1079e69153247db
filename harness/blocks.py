"""Blocks: clips that were measured one after the other stay together when times are resampled.

A machine is slow in bursts of several clips (other processes, heat, the clock), so times of
neighbours are alike, and say less than as many apart. A block is three times as long as the noise
remembers. With the noise of a shared machine, intervals of 144 clips taken one by one hold the
true mean in 75 of 100 simulated runs, those of blocks in 93 (tests/harness/test_latency.py).
"""

import numpy as np

BLOCK = 3
"""Lengths of memory in a block; simulated in tests/harness/verdicts/test_false_alarms.py."""
SHORTEST_MEMORY = 1.2
"""A memory below it cannot be told from that of independent clips."""
LEAST_BLOCKS = 12
"""Fewer could not show a change at all: their smallest p-value would be too large."""


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


def block_means(series: np.ndarray, length: int) -> np.ndarray:
    """The mean of each block [blocks]; the last may be shorter."""
    starts = np.arange(0, len(series), length)
    return np.add.reduceat(series, starts) / np.diff(starts, append=len(series))


def drawn(clips: int, length: int, *, resamples: int, seed: int) -> np.ndarray:
    """Indices [resamples, clips] of blocks that begin anywhere, the end followed by the start.

    The circular block bootstrap (Politis and Romano, 1992); of length 1, that of single clips.
    """
    rng = np.random.default_rng(seed)
    starts = rng.integers(clips, size=(resamples, -(-clips // length)))
    blocks = (starts[:, :, None] + np.arange(length)) % clips
    return blocks.reshape(resamples, -1)[:, :clips]
