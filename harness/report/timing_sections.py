"""The sections of time: latencies beyond their mean, and the stages they are made of.

Each function returns a section or, where nothing was timed, None.
"""

from collections import defaultdict
from collections.abc import Sequence

from stabench.harness.formatting import NOTHING, decimals, figure, interval
from stabench.harness.render.page import Grid, Head, Line, Printed, Section
from stabench.harness.report.table import Table
from stabench.harness.runs.journal import REMAINDER
from stabench.harness.runs.results import Results
from stabench.harness.runs.timings import Stage
from stabench.harness.stats.estimate import Estimate
from stabench.harness.stats.latency import Latency, least_n
from stabench.harness.tasks.task import Task

PERCENTS = (50, 90, 95, 99)


def describe_latencies(results: Results, table: Table) -> Section | None:
    """Return median and percentiles of each phase, as far as the number of clips allows."""
    timed: list[tuple[str, dict[str, Latency]]] = []
    for row in table.systems:
        measured = {
            phase.column.key: latency
            for phase in results.task.phases
            if isinstance(latency := results.latency(row.system, phase.name), Latency) and latency.n
        }
        if measured:
            timed.append((row.label, measured))
    # Columns are those that the system with the most clips has; others show dashes in some.
    most = max((time.n_clips for _, phases in timed for time in phases.values()), default=0)
    shown = [percent for percent in PERCENTS if least_n(percent) <= most]
    if not shown:
        return None
    heads = [Head("System"), Head("clips")]
    heads += [
        Head(f"{phase.column.label} {name} ({phase.column.unit})", phase.column.key)
        for phase in results.task.phases
        for name in ("median" if percent == 50 else f"p{percent}" for percent in shown)
    ]
    lines = tuple(_print_system(label, phases, shown, results.task) for label, phases in timed)
    refused = [f"p{p} needs {least_n(p)}" for p in PERCENTS if p not in shown]
    points = (f"Not shown: {', '.join(refused)} clips; there are {most}.",) if refused else ()
    return Section("latency", "Latency", grid=Grid(tuple(heads), lines), points=points)


def _print_system(label: str, phases: dict[str, Latency], shown: Sequence[int], task: Task) -> Line:
    cells = [Printed(label), Printed(str(max(time.n_clips for time in phases.values())))]
    for _, column, unit_ns in task.phases:
        time = phases.get(column.key)
        for percent in shown:
            number = time.percentile(percent) if time else Estimate.missing("not measured")
            value, low, high, *_ = number.scaled(1 / unit_ns)
            if value is None:
                cells.append(Printed(NOTHING))
                continue
            # Each number with its own digits: a p99 may be ten times a median.
            digits = decimals([value])
            cells.append(Printed(figure(value, digits), interval(low, high, digits)))
    return Line(tuple(cells))


def describe_shares(results: Results, table: Table) -> Section | None:
    """Return where the time goes, a point for each system; the terminal has no table of stages.

    What no stage claimed is a share of its own phase: of both together a short phase says nothing.
    """
    points = []
    for row in table.rows:
        parts = results.stages(row.system)
        shares = [
            f"{part.name} {figure(100 * part.share, 1)} %"
            for part in parts
            if part.name != REMAINDER
        ]
        left = [
            f"{figure(100 * share, 1)} % of {part.phase}"
            for part, share in zip(parts, _share_phases(parts), strict=True)
            if part.name == REMAINDER
        ]
        point = f"{row.label}: {', '.join(shares or ['no stage'])}; other {', '.join(left)}"
        points += [point] if parts else []
    if not points:
        return None
    return Section("shares", "Where the time goes", points=tuple(points), only="terminal")


def _share_phases(parts: Sequence[Stage]) -> list[float]:
    """Return the share of each stage in its own phase, 0 to 1."""
    phases_ns: dict[str, float] = defaultdict(float)
    for part in parts:
        phases_ns[part.phase] += part.mean_ns
    return [part.mean_ns / (phases_ns[part.phase] or 1) for part in parts]


def describe_stages(results: Results, table: Table) -> Section | None:
    """Return the mean time of every stage; with its remainder each phase adds up to itself."""
    lines = []
    for row in table.rows:
        parts = results.stages(row.system)
        lines += [Line(heading=row.label)] if parts else []
        for stage, of_phase in zip(parts, _share_phases(parts), strict=True):
            # Only a GPU has a time of its own beside the wall's.
            device = NOTHING if stage.device_ns is None else figure(stage.device_ns / 1e6, 2)
            wall = figure(stage.mean_ns / 1e6, 2)
            shares = (f"{figure(100 * share, 1)} %" for share in (of_phase, stage.share))
            cells = (stage.phase, stage.name, wall, *shares, device)
            lines.append(Line(tuple(map(Printed, cells))))
    heads = ("Phase", "Stage", "wall (ms)", "of its phase", "of all", "device (ms)")
    text = (
        "Means over the timed clips. A phase's remainder is what no stage claimed; with it the "
        "stages of each phase add up to its wall time. Device time is measured on a GPU only.",
    )
    grid = Grid(tuple(Head(head) for head in heads), tuple(lines))
    return Section("stages", "Stages", text, grid, only="markdown") if lines else None
