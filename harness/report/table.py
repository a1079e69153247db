"""The table: one row a system, one cell a column, from which every format of a report is made.

The columns are those of the task in its order, then the suite's own.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stabench.harness.formatting import decimals, figure
from stabench.harness.runs.metrics_file import SystemRecord
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED as RANDOM
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites.trained_on import list_trained_columns
from stabench.harness.tasks.task import DERIVED, NOT_MEASURED, SANITY, UNSTATED, Column, Task


class Row(NamedTuple):
    """One system, or one sanity row (`paradigm` is then "sanity").

    `caveat` is what must be said of it wherever its numbers are shown. `trained_on` are columns
    whose metric the system was trained on.
    """

    system: str
    label: str
    paradigm: str
    n: int
    failed: int
    cells: dict[str, Estimate]
    caveat: str = ""
    trained_on: tuple[str, ...] = ()

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

    @property
    def labels(self) -> dict[str, str]:
        """What a sentence calls each system: its label.

        Of systems that share a label each has its name too, the one that commands take.
        """
        shared = Counter(row.label for row in self.systems)
        return {
            row.system: row.label if shared[row.label] == 1 else f"{row.label} ({row.system})"
            for row in self.systems
        }


def table(run: Path) -> list[Row]:
    """The rows of a run: systems by paradigm, then sanity rows. Needs no torch."""
    return tabulate(Results.read(run)).rows


def tabulate(results: Results) -> Table:
    """Systems in groups of their paradigm, in the suite's order within, then sanity rows."""
    times: dict[str, dict[str, Estimate]] = {}
    for name in _list_names(results):
        times[name] = {}
        for timing in results.timings:
            latency, column = results.latency(name, timing.name), timing.column
            times[name][column.key] = (
                Estimate.missing(latency)
                if isinstance(latency, str)
                else latency.mean.scaled(1 / timing.unit_ns)
            )
    shown = _list_columns(results, times)
    keys = {column.key for column in shown}
    times = {
        name: {key: time for key, time in by_column.items() if key in keys}
        for name, by_column in times.items()
    }
    rows = list(_list_systems(results, shown, times))
    # The sounds of a sanity row come from no system, so nothing was timed.
    untimed = {c.key: Estimate.missing("") for c in shown if c.block == "latency"}
    for name, record in results.metrics.sanity.items() if results.metrics else ():
        cells = {**untimed, **_fill_cells(shown, record.cells, "")}
        rows.append(Row(name, record.label, SANITY, record.n, record.failed, cells))
    groups = results.task.groups
    return Table(shown, sorted(rows, key=lambda row: groups.index(row.paradigm)), results.task)


def _list_columns(results: Results, times: dict[str, dict[str, Estimate]]) -> tuple[Column, ...]:
    """The task's columns in its order, then the suite's own; digits as the numbers need."""
    metrics = results.metrics
    about = metrics.columns if metrics else {}
    timings = []
    for column in (timing.column for timing in results.timings):
        means = [mean for by_column in times.values() if (mean := by_column[column.key].value)]
        # What follows from the phases says nothing where those are missing.
        if means or column.key not in DERIVED:
            timings.append(column._replace(digits=decimals(means)))
    known = {column.key: column for column in results.task.columns}
    further = [key for key in about if key not in known]
    quality = []
    for key in (*known, *further):
        paper = known.get(key)
        if metrics and (scored := about.get(key)):
            # A network that never learned hears no quality: its column is marked, and not ranked.
            network = metrics.provenance.embedders.get(scored.embedder or "")
            random = network is not None and network.origin.startswith("random")
            label, digits = paper.label if paper else scored.label, scored.digits
            quality.append(
                Column(key, label, scored.unit, scored.better, digits, "quality", random)
            )
        elif paper:
            quality.append(paper)
    return (*timings, *quality)


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
        if record:
            n, failed = record.n, record.failed
        else:
            # Before scoring a clip counts by its first repeat, the one whose sound is kept.
            first = [row for row in results.trials if row.system == name and not row.repeat]
            n = sum(row.ok for row in first)
            failed = (len(results.run.clips) if results.run else 0) - n
        cells = {**times[name], **scored}
        # A system on random weights shows no quality, which a caveat would be about.
        doubt = "" if record is None or (use and results.random(use)) else caveat(record)
        suite = results.run.suite.name if results.run else ""
        trained = list_trained_columns(use, suite) if use else ()
        yield Row(name, label, paradigm, n, failed, cells, doubt, trained)


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
