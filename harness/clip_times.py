"""Clip times: mean times of clips, and what pairs of systems make of the clips that both have."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from harness.estimate import Estimate, ratio
from harness.journal import Row
from harness.metrics_file import DifferenceRecord
from harness.results import Phase, Results
from harness.table import TIMINGS
from metrics.bootstrap import tails


def clip_times(rows: Sequence[Row], phase: Phase) -> dict[str, float]:
    """Mean time of each clip over its repeats, ns."""
    times: dict[str, list[int]] = {}
    for row in rows:
        wall = row.represent_ns if phase == "represent" else row.generate_ns
        if wall is not None:
            times.setdefault(row.clip, []).append(wall)
    return {clip: sum(walls) / len(walls) for clip, walls in times.items()}


def paired_latencies(results: Results) -> tuple[DifferenceRecord, ...]:
    """Differences of mean times in the columns and units of the table, every pair once.

    Intervals are 95 % bootstrap intervals over clips, as those of the table.
    """
    if results.run is None:
        return ()
    names, protocol = [use.name for use in results.run.suite.systems], results.run.suite.protocol
    found = []
    for column, phase, unit_ns in TIMINGS:
        times = {name: clip_times(results.timed(name), phase) for name in names}
        for a, b in combinations(names, 2):
            clips = sorted(times[a].keys() & times[b].keys())
            if len(clips) > 1:
                minus = np.array([times[a][clip] - times[b][clip] for clip in clips]) / unit_ns
                sums = _counts(len(clips), protocol.bootstrap, protocol.seed) @ minus
                low, high = np.quantile(sums, tails(len(clips)))
                one = Estimate(float(minus.mean()), low / len(clips), high / len(clips), len(clips))
                found.append(_record(a, b, column.key, one))
    return tuple(found)


def latency_ratio(results: Results, a: str, b: str, phase: Phase) -> Estimate:
    """Mean time of system `a` over that of `b` on the clips both have, or why there is none."""
    if results.run is None or results.untimed:
        return Estimate.missing(results.untimed or "not timed")
    mine, theirs = (clip_times(results.timed(name), phase) for name in (a, b))
    clips = sorted(mine.keys() & theirs.keys())
    if len(clips) < 2:
        return Estimate.missing(f"needs at least 2 timed clips, has {len(clips)}", len(clips))
    above, below = (np.array([of[clip] for clip in clips]) for of in (mine, theirs))
    protocol = results.run.suite.protocol
    return ratio(above, below, _counts(len(clips), protocol.bootstrap, protocol.seed))


@lru_cache(maxsize=1)
def _counts(n: int, replicates: int, seed: int) -> np.ndarray:
    """How often each of `n` clips occurs in each replicate [B, n]; most pairs share all clips."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=replicates)


def _record(a: str, b: str, column: str, one: Estimate) -> DifferenceRecord:
    return DifferenceRecord(
        a=a, b=b, column=column, difference=one.value, low=one.low, high=one.high, n=one.n
    )
