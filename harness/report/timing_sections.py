"""The sections of time: latencies beyond their mean, and the stages they are made of."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from stabench.harness.formatting import NOTHING, decimals, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.table import Row, Table
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.journal import Row as JournalRow
from stabench.harness.runs.metrics_file import DifferenceRecord
from stabench.harness.runs.results import Results, stages
from stabench.harness.stats.bootstrap import block_length, drawn, ratio, tails
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency, least_n
from stabench.harness.suites.suite import Protocol
from stabench.harness.tasks.task import Task

PERCENTS = (50, 90, 95, 99)


def latencies(results: Results, table: Table) -> Section | None:
    """Median and percentiles of each phase, as far as the number of clips allows."""
    rows = [row for row in table.rows if row.paradigm != "sanity"]
    found = [(row.label, phases) for row in rows if (phases := _phases(results, row))]
    most = max((one.n_clips for _, phases in found for one in phases.values()), default=0)
    shown = [percent for percent in PERCENTS if least_n(percent) <= most]
    if not shown:
        return None
    heads = [Head("System"), Head("clips")]
    heads += [
        Head(f"{phase.column.label} {_named(percent)} ({phase.column.unit})", phase.column.key)
        for phase in results.task.phases
        for percent in shown
    ]
    lines = tuple(_line(label, phases, shown, results.task) for label, phases in found)
    return Section("Latency", grid=Grid(tuple(heads), lines), points=tuple(_refused(shown, most)))


def _phases(results: Results, row: Row) -> dict[str, Latency]:
    """The measured phases of a system, by column."""
    asked = {
        phase.column.key: results.latency(row.system, phase.name) for phase in results.task.phases
    }
    return {key: one for key, one in asked.items() if isinstance(one, Latency) and one.n}


def _named(percent: int) -> str:
    return "median" if percent == 50 else f"p{percent}"


def _line(label: str, phases: dict[str, Latency], shown: Sequence[int], task: Task) -> Line:
    cells = [Printed(label), Printed(str(max(one.n_clips for one in phases.values())))]
    for _, column, unit_ns in task.phases:
        for percent in shown:
            one = phases.get(column.key)
            cells.append(_number(one.percentile(percent), unit_ns) if one else Printed(NOTHING))
    return Line(tuple(cells))


def _number(number: Estimate, unit_ns: float) -> Printed:
    if number.value is None:
        return Printed(NOTHING)
    value, low, high, *_ = number.scaled(1 / unit_ns)
    digits = decimals([value or 0.0])
    return Printed(figure(value or 0.0, digits), interval(low, high, digits))


def _refused(shown: Sequence[int], clips: int) -> Iterable[str]:
    """A point that says which percentiles are not shown, and when they would be."""
    refused = [f"p{p} needs {least_n(p)}" for p in PERCENTS if p not in shown]
    if refused:
        yield f"Not shown: {', '.join(refused)} clips; there are {clips}."


def time_shares(results: Results, table: Table) -> Section | None:
    """Where the time goes, a line for each system."""
    points = []
    for row in table.rows:
        parts = stages(results.timed(row.system))
        named = [(part.name, part.share) for part in parts if part.name != REMAINDER]
        left = sum(part.share for part in parts if part.name == REMAINDER)
        shares = [f"{name} {figure(100 * share, 1)} %" for name, share in (*named, ("rest", left))]
        points += [f"{row.label}: {', '.join(shares)}"] if parts else []
    return Section("Where the time goes", points=tuple(points), only="terminal") if points else None


def stage_table(results: Results, table: Table) -> Section | None:
    """Mean time of every stage; with the remainder they add up to the phases."""
    lines = []
    for row in table.rows:
        parts = stages(results.timed(row.system))
        lines += [Line(heading=row.label)] if parts else []
        for stage in parts:
            device = NOTHING if stage.device_ns is None else figure(stage.device_ns / 1e6, 2)
            wall, share = figure(stage.mean_ns / 1e6, 2), figure(100 * stage.share, 1)
            cells = (stage.phase, stage.name, wall, f"{share} %", device)
            lines.append(Line(tuple(map(Printed, cells))))
    heads = ("Phase", "Stage", "wall (ms)", "share", "device (ms)")
    text = (
        "Means over the timed clips. A phase's remainder is what no stage claimed; with it the "
        "stages add up to the wall time. Device time is measured on a GPU only.",
    )
    grid = Grid(tuple(Head(head) for head in heads), tuple(lines))
    return Section("Stages", text, grid, only="markdown") if lines else None


def clip_times(rows: Sequence[JournalRow], phase: str) -> dict[str, float]:
    """Mean time of each clip over its repeats, ns, in the order in which clips were measured."""
    times: dict[str, list[int]] = {}
    for row in rows:
        if phase in row.phase_ns:
            times.setdefault(row.clip, []).append(row.phase_ns[phase])
    return {clip: sum(walls) / len(walls) for clip, walls in times.items()}


def paired_latencies(results: Results) -> tuple[DifferenceRecord, ...]:
    """Differences of mean times in the columns and units of the table, every pair once.

    Intervals are 95 % bootstrap intervals over clips, as those of the table: clips that were
    measured one after the other stay together (harness/stats/bootstrap.py).
    """
    if results.run is None:
        return ()
    names, protocol = [use.name for use in results.run.suite.systems], results.run.suite.protocol
    found = []
    for phase, column, unit_ns in results.task.phases:
        times = {name: clip_times(results.timed(name), phase) for name in names}
        for a, b in combinations(names, 2):
            clips = [clip for clip in times[a] if clip in times[b]]
            if len(clips) > 1:
                minus = np.array([times[a][clip] - times[b][clip] for clip in clips]) / unit_ns
                made = _draws(minus, protocol)
                low, high = np.quantile(made.counts @ minus / len(clips), tails(made.units))
                one = Estimate(float(minus.mean()), float(low), float(high), len(clips))
                found.append(DifferenceRecord(a=a, b=b, column=column.key, difference=one))
    return tuple(found)


def latency_ratio(results: Results, a: str, b: str, phase: str) -> Estimate:
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
