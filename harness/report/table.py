"""The table: one row a system, one cell a column, from which every format of a report is made.

The columns are those of the task in its order, then the suite's own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure
from stabench.harness.runs.metrics_file import CellRecord, ColumnRecord, MetricsFile, SystemRecord
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import NOT_MEASURED, SANITY, UNSTATED, Better, Column, Task


class Cell(NamedTuple):
    """One number with its 95 % interval over `n` clips, or the `reason` why there is none.

    `text` is how the value is printed; `spread` is the standard deviation where one is shown.
    """

    value: float | None
    low: float | None
    high: float | None
    unit: str
    better: Better
    text: str | None
    reason: str | None
    spread: float | None = None
    digits: int = 2
    n: int = 0
    p_value: float | None = None


class Row(NamedTuple):
    """One system, or one sanity row (`paradigm` is then "sanity").

    `caveat` is what must be said of it wherever its numbers are shown.
    """

    system: str
    label: str
    paradigm: str
    n: int
    failed: int
    cells: dict[str, Cell]
    caveat: str = ""


class Fit(NamedTuple):
    """How a test of dependence on the input is worded: its two means and their decimals."""

    own: str
    others: str
    digits: int


CAVEAT = "\N{DOUBLE DAGGER}"
"""The mark of a row with a caveat."""
DOUBTFUL = 0.05
"""P above which nothing shows that outputs depend on their inputs."""
FITS = {
    "kl": Fit("KL to its own recording", "to others'", 2),
    "clap": Fit("CLAP with its own caption", "with others'", 3),
}


class Table(NamedTuple):
    """Columns, and rows whose cells have them as keys; of which task."""

    columns: tuple[Column, ...]
    rows: list[Row]
    task: Task


def table(run: Path) -> list[Row]:
    """The rows of a run: systems by paradigm, then sanity rows. Needs no torch."""
    return tabulate(Results.read(run)).rows


def tabulate(results: Results) -> Table:
    """Systems in groups of their paradigm, in the suite's order within, then sanity rows."""
    times = {name: _times(results, name) for name in _names(results)}
    shown = _columns(results, times)
    rows = [*_systems(results, shown, times), *_sanity(results, shown)]
    groups = results.task.groups
    return Table(shown, sorted(rows, key=lambda row: groups.index(row.paradigm)), results.task)


class Time(NamedTuple):
    """Mean and standard deviation of a phase, in the column's unit."""

    mean: Estimate
    sd: float | None


def _times(results: Results, system: str) -> dict[str, Time]:
    times = {}
    for phase, column, unit_ns in results.task.phases:
        latency = results.latency(system, phase)
        if isinstance(latency, str):
            times[column.key] = Time(Estimate.missing(latency), None)
        else:
            sd = None if latency.sd_ns is None else latency.sd_ns / unit_ns
            times[column.key] = Time(latency.mean.scaled(1 / unit_ns), sd)
    return times


def _columns(results: Results, times: dict[str, dict[str, Time]]) -> tuple[Column, ...]:
    """The task's columns in its order, then the suite's own; digits as the numbers need."""
    metrics = results.metrics
    about = metrics.columns if metrics else {}
    timings = []
    for _, column, _ in results.task.phases:
        means = [of[column.key].mean.value for of in times.values()]
        timings.append(column._replace(digits=decimals([mean for mean in means if mean])))
    known = {column.key: column for column in results.task.columns}
    own = [key for key in about if key not in known]
    quality = []
    for key in (*known, *own):
        paper = known.get(key)
        if metrics and (of := about.get(key)):
            label, random = paper.label if paper else of.label, _is_random(of, metrics)
            quality.append(Column(key, label, of.unit, of.better, of.digits, "quality", random))
        elif paper:
            quality.append(paper)
    return (*timings, *quality)


def _is_random(about: ColumnRecord, metrics: MetricsFile) -> bool:
    """Whether the column's network says that its weights are random."""
    network = metrics.provenance.embedders.get(about.embedder or "")
    return network is not None and network.origin.startswith("random")


def _names(results: Results) -> list[str]:
    if results.run:
        return [use.name for use in results.run.suite.systems]
    return list(results.metrics.systems) if results.metrics else []


def _systems(
    results: Results, shown: tuple[Column, ...], times: dict[str, dict[str, Time]]
) -> Iterator[Row]:
    uses = {use.name: use for use in results.run.suite.systems} if results.run else {}
    records = results.metrics.systems if results.metrics else {}
    for name in _names(results):
        use, record = uses.get(name), records.get(name)
        scored = _scored(shown, record.cells if record else {}, "not scored")
        if use and results.random(use):
            scored = {key: _missing(cell, RANDOM) for key, cell in scored.items()}
        label = (use.label if use else record.label if record else "") or name
        paradigm = use.paradigm if use else record.paradigm if record else UNSTATED
        n, failed = (record.n, record.failed) if record else _counted(results, name)
        cells = {**_timed(times[name], shown), **scored}
        doubt = "" if record is None or (use and results.random(use)) else caveat(record)
        yield Row(name, label, paradigm, n, failed, cells, doubt)


def caveat(record: SystemRecord) -> str:
    """What to say of a system whose outputs fit their own clips no better than others', or none."""
    p_value = record.dependence_p
    if p_value is None or p_value <= DOUBTFUL:
        return ""
    tests = [
        f"{FITS[column].own} {figure(test.own or 0, FITS[column].digits)}, {FITS[column].others} "
        f"{figure(test.others or 0, FITS[column].digits)}, permutation p {figure(test.p_value, 3)}"
        for column, test in record.input_dependence.items()
        if test.p_value is not None
    ]
    return f"nothing shows that its output depends on its input ({'; '.join(tests)})."


def _counted(results: Results, system: str) -> tuple[int, int]:
    """Clips that are ok and clips that are not, before scoring."""
    done = [row for row in results.trials if row.system == system and row.ok and not row.repeat]
    return len(done), (len(results.run.clips) if results.run else 0) - len(done)


def _sanity(results: Results, shown: tuple[Column, ...]) -> Iterator[Row]:
    for name, record in results.metrics.sanity.items() if results.metrics else ():
        cells = _scored(shown, record.cells, "")
        untimed = {c.key: _cell(c, Estimate.missing("")) for c in shown if c.block == "latency"}
        yield Row(name, record.label, SANITY, record.n, record.failed, {**untimed, **cells})


def _timed(times: dict[str, Time], shown: tuple[Column, ...]) -> dict[str, Cell]:
    cells = {}
    for column in (column for column in shown if column.block == "latency"):
        mean, sd = times[column.key]
        cell = _cell(column, mean)
        if cell.text and sd is not None:
            cell = cell._replace(spread=sd, text=f"{cell.text} ± {figure(sd, column.digits)}")
        cells[column.key] = cell
    return cells


def _scored(
    shown: tuple[Column, ...], found: dict[str, CellRecord], otherwise: str
) -> dict[str, Cell]:
    """The cells of the quality columns, and of those that need listeners."""
    cells = {}
    for column in (column for column in shown if column.block != "latency"):
        lack = Estimate.missing(NOT_MEASURED if column.block == "listeners" else otherwise)
        cells[column.key] = _cell(
            column, found[column.key].estimate if column.key in found else lack
        )
    return cells


def _cell(column: Column, number: Estimate) -> Cell:
    text = None if number.value is None else figure(number.value, column.digits)
    return Cell(
        number.value,
        number.low,
        number.high,
        column.unit,
        column.better,
        text,
        number.reason,
        digits=column.digits,
        n=number.n,
        p_value=number.p_value,
    )


def _missing(cell: Cell, reason: str) -> Cell:
    """The same cell without a number, unless it had none already for listeners to give."""
    if cell.reason == NOT_MEASURED:
        return cell
    return cell._replace(value=None, low=None, high=None, text=None, reason=reason)
