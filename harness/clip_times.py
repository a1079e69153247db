"""Clip times: mean times of clips, and what pairs of systems make of the clips that both have."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from harness.blocks import block_length, drawn
from harness.estimate import Estimate, ratio
from harness.journal import Row
from harness.metrics_file import DifferenceRecord
from harness.results import Phase, Results
from harness.suite import Protocol
from harness.table import TIMINGS
from metrics.bootstrap import tails


def clip_times(rows: Sequence[Row], phase: Phase) -> dict[str, float]:
    """Mean time of each clip over its repeats, ns, in the order in which clips were measured."""
    times: dict[str, list[int]] = {}
    for row in rows:
        wall = row.represent_ns if phase == "represent" else row.generate_ns
        if wall is not None:
            times.setdefault(row.clip, []).append(wall)
    return {clip: sum(walls) / len(walls) for clip, walls in times.items()}


def paired_latencies(results: Results) -> tuple[DifferenceRecord, ...]:
    """Differences of mean times in the columns and units of the table, every pair once.

    Intervals are 95 % bootstrap intervals over clips, as those of the table: clips that were
    measured one after the other stay together (harness/blocks.py).
    """
    if results.run is None:
        return ()
    names, protocol = [use.name for use in results.run.suite.systems], results.run.suite.protocol
    found = []
    for column, phase, unit_ns in TIMINGS:
        times = {name: clip_times(results.timed(name), phase) for name in names}
        for a, b in combinations(names, 2):
            clips = [clip for clip in times[a] if clip in times[b]]
            if len(clips) > 1:
                minus = np.array([times[a][clip] - times[b][clip] for clip in clips]) / unit_ns
                made = _draws(minus, protocol)
                ends = np.quantile(made.counts @ minus / len(clips), tails(made.units))
                one = Estimate(float(minus.mean()), *map(float, ends), len(clips))
                found.append(_record(a, b, column.key, one))
    return tuple(found)


def latency_ratio(results: Results, a: str, b: str, phase: Phase) -> Estimate:
    """Mean time of system `a` over that of `b` on the clips both have, or why there is none."""
    if results.run is None or results.untimed:
        return Estimate.missing(results.untimed or "not timed")
    mine, theirs = (clip_times(results.timed(name), phase) for name in (a, b))
    clips = [clip for clip in mine if clip in theirs]
    if len(clips) < 2:
        return Estimate.missing(f"needs at least 2 timed clips, has {len(clips)}", len(clips))
    above, below = (np.array([of[clip] for clip in clips]) for of in (mine, theirs))
    made = _draws(np.log(above / below), results.run.suite.protocol)
    return ratio(above, below, made.counts, made.units)


class _Drawn(NamedTuple):
    """How often each clip occurs in each replicate, int [B, N]; of how many units they are made."""

    counts: np.ndarray
    units: int


def _draws(series: np.ndarray, protocol: Protocol) -> _Drawn:
    """Resamples of clips whose `series` [N], in the order of measurement, shows what is alike."""
    n, length = len(series), block_length(series)
    return _Drawn(_counts(n, length, protocol.bootstrap, protocol.seed), max(2, -(-n // length)))


@lru_cache(maxsize=4)
def _counts(n: int, length: int, replicates: int, seed: int) -> np.ndarray:
    """Counts [B, n] of blocks; most pairs share all clips."""
    index = drawn(n, length, resamples=replicates, seed=seed)
    cells = index + n * np.arange(replicates)[:, None]
    return np.bincount(cells.ravel(), minlength=n * replicates).reshape(replicates, n)


def _record(a: str, b: str, column: str, one: Estimate) -> DifferenceRecord:
    return DifferenceRecord(
        a=a, b=b, column=column, difference=one.value, low=one.low, high=one.high, n=one.n
    )
