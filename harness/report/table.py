"""The table: one row a system, one cell a column, from which every format of a report is made.

The columns are those of the task in its order, then the suite's own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure
from stabench.harness.runs.metrics_file import ColumnRecord, MetricsFile, SystemRecord
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.stats.estimate import Estimate
from stabench.harness.tasks.task import NOT_MEASURED, SANITY, UNSTATED, Column, Task


class Row(NamedTuple):
    """One system, or one sanity row (`paradigm` is then "sanity").

    `caveat` is what must be said of it wherever its numbers are shown.
    """

    system: str
    label: str
    paradigm: str
    n: int
    failed: int
    cells: dict[str, Estimate]
    caveat: str = ""

    @property
    def is_sanity(self) -> bool:
        """Whether its sounds are of known quality, and of no system."""
        return self.paradigm == SANITY


class Fit(NamedTuple):
    """How a test of dependence on the input is worded: its two means and their decimals."""

    own: str
    others: str
    digits: int


# The mark of a row with a caveat.
CAVEAT = "\N{DOUBLE DAGGER}"
# P above which nothing shows that outputs depend on their inputs.
DOUBTFUL = 0.05
FITS = {
    "kl": Fit("KL to its own recording", "to others'", 2),
    "clap": Fit("CLAP with its own caption", "with others'", 3),
}


class Table(NamedTuple):
    """Columns, and rows whose cells have them as keys; of which task."""

    columns: tuple[Column, ...]
    rows: list[Row]
    task: Task

    @property
    def systems(self) -> list[Row]:
        """The rows of systems."""
        return [row for row in self.rows if not row.is_sanity]


def table(run: Path) -> list[Row]:
    """The rows of a run: systems by paradigm, then sanity rows. Needs no torch."""
    return tabulate(Results.read(run)).rows


def tabulate(results: Results) -> Table:
    """Systems in groups of their paradigm, in the suite's order within, then sanity rows."""
    times = {name: _measure_times(results, name) for name in _list_names(results)}
    shown = _list_columns(results, times)
    rows = [*_list_systems(results, shown, times), *_list_sanity(results, shown)]
    groups = results.task.groups
    return Table(shown, sorted(rows, key=lambda row: groups.index(row.paradigm)), results.task)


def _measure_times(results: Results, system: str) -> dict[str, Estimate]:
    """Mean time of each phase by its column, in the column's unit."""
    times = {}
    for phase, column, unit_ns in results.task.phases:
        latency = results.latency(system, phase)
        if isinstance(latency, str):
            times[column.key] = Estimate.missing(latency)
        else:
            times[column.key] = latency.mean.scaled(1 / unit_ns)
    return times


def _list_columns(results: Results, times: dict[str, dict[str, Estimate]]) -> tuple[Column, ...]:
    """The task's columns in its order, then the suite's own; digits as the numbers need."""
    metrics = results.metrics
    about = metrics.columns if metrics else {}
    timings = []
    for _, column, _ in results.task.phases:
        means = [of[column.key].value for of in times.values()]
        timings.append(column._replace(digits=decimals([mean for mean in means if mean])))
    known = {column.key: column for column in results.task.columns}
    further = [key for key in about if key not in known]
    quality = []
    for key in (*known, *further):
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


def _list_names(results: Results) -> list[str]:
    if results.run:
        return [use.name for use in results.run.suite.systems]
    return list(results.metrics.systems) if results.metrics else []


def _list_systems(
    results: Results, shown: tuple[Column, ...], times: dict[str, dict[str, Estimate]]
) -> Iterator[Row]:
    uses = {use.name: use for use in results.run.suite.systems} if results.run else {}
    records = results.metrics.systems if results.metrics else {}
    for name in _list_names(results):
        use, record = uses.get(name), records.get(name)
        scored = _fill_cells(shown, record.cells if record else {}, "not scored")
        if use and results.random(use):
            scored = {
                key: cell if cell.reason == NOT_MEASURED else Estimate.missing(RANDOM, cell.n)
                for key, cell in scored.items()
            }
        label = (use.label if use else record.label if record else "") or name
        paradigm = use.paradigm if use else record.paradigm if record else UNSTATED
        n, failed = (record.n, record.failed) if record else _count_clips(results, name)
        cells = {**times[name], **scored}
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


def _count_clips(results: Results, system: str) -> tuple[int, int]:
    """Clips that are ok and clips that are not, before scoring."""
    done = [row for row in results.trials if row.system == system and row.ok and not row.repeat]
    return len(done), (len(results.run.clips) if results.run else 0) - len(done)


def _list_sanity(results: Results, shown: tuple[Column, ...]) -> Iterator[Row]:
    for name, record in results.metrics.sanity.items() if results.metrics else ():
        cells = _fill_cells(shown, record.cells, "")
        untimed = {c.key: Estimate.missing("") for c in shown if c.block == "latency"}
        yield Row(name, record.label, SANITY, record.n, record.failed, {**untimed, **cells})


def _fill_cells(
    shown: tuple[Column, ...], cells: dict[str, Estimate], otherwise: str
) -> dict[str, Estimate]:
    """The cells of the quality columns, and of those that need listeners."""
    return {
        column.key: cells[column.key]
        if column.key in cells
        else Estimate.missing(NOT_MEASURED if column.block == "listeners" else otherwise)
        for column in shown
        if column.block != "latency"
    }


def value_text(cell: Estimate, column: Column) -> str:
    """Return the value as it is printed, with the standard deviation where it has one, or ""."""
    if cell.value is None:
        return ""
    spread = "" if cell.sd is None else f" ± {figure(cell.sd, column.digits)}"
    return figure(cell.value, column.digits) + spread
