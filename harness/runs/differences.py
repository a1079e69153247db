"""Differences of two systems of one run: of their times, and p-values adjusted together.

Clips that were measured one after the other stay together in blocks (stats/bootstrap.py): what
slowed the machine for a while slowed all of them.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stabench.harness.runs.metrics_file import DifferenceRecord
from stabench.harness.stats.bootstrap import (
    DRIFT,
    LEAST_OF_INTERVAL,
    block_length,
    draw_blocks,
    has_drift,
    ratio,
    tails,
)
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.permutation import adjusted, sign_flip
from stabench.harness.suites.suite import RunSettings


def measure_difference(minus: np.ndarray, settings: RunSettings) -> Estimate:
    """Return the mean of the differences `minus` [N] with its interval and p-value."""
    n = len(minus)
    if has_drift(minus):
        return Estimate(float(minus.mean()), n=n, reason=f"{DRIFT}: no interval")
    resamples = _resample(minus, settings)
    low, high = np.quantile(resamples.counts @ minus / n, tails(resamples.units))
    # Clips of one block turn their signs together, as they are drawn together.
    blocks = np.add.reduceat(minus, np.arange(0, n, block_length(minus))) / n
    p = sign_flip(blocks, seed=settings.seed).p_value
    return Estimate(float(minus.mean()), float(low), float(high), n, p_value=p)


def measure_ratio(above: np.ndarray, below: np.ndarray, settings: RunSettings) -> Estimate:
    """Return the mean of `above` [N] over that of `below` [N], both positive, with its interval."""
    # The ratio's own logs set the blocks: what slowed both systems alike is not in them.
    logs = np.log(above / below)
    if has_drift(logs):
        value = float(above.sum() / below.sum())
        return Estimate(value, n=len(logs), reason=f"{DRIFT}: no interval")
    resamples = _resample(logs, settings)
    return ratio(above, below, resamples.counts, resamples.units)


def adjust_records(records: tuple[DifferenceRecord, ...]) -> tuple[DifferenceRecord, ...]:
    """Return the records with p-values that are adjusted over all that have one (Holm)."""
    tested = [record for record in records if record.difference.p_value is not None]
    ps = iter(adjusted([record.difference.p_value or 1.0 for record in tested]))
    return tuple(
        record
        if record.difference.p_value is None
        else record.model_copy(update={"difference": record.difference._replace(p_value=next(ps))})
        for record in records
    )


class _Resamples(NamedTuple):
    """How often each clip occurs in each replicate, int [B, N]; of how many units they are made."""

    counts: np.ndarray
    units: int


def _resample(series: np.ndarray, settings: RunSettings) -> _Resamples:
    """Return resamples of clips; `series` [N], in the order of measurement, shows what is alike."""
    n, length = len(series), block_length(series, LEAST_OF_INTERVAL)
    counts = _count_blocks(n, length, settings.bootstrap, settings.seed)
    # An interval needs two units at least (stats/bootstrap.py).
    return _Resamples(counts, max(2, -(-n // length)))


@lru_cache(maxsize=4)
def _count_blocks(n: int, length: int, replicates: int, seed: int) -> np.ndarray:
    """Return counts [B, n] of clips in resampled blocks; most pairs share all clips."""
    index = draw_blocks(n, length, resamples=replicates, seed=seed)
    # One count over all replicates: each has n cells of its own.
    cells = index + n * np.arange(replicates)[:, None]
    return np.bincount(cells.ravel(), minlength=n * replicates).reshape(replicates, n)
