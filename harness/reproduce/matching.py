"""Standing: which systems of a run stand for a published one, and what keeps them from it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stabench.harness.reproduce.paper import Conditions, PaperRow
from stabench.harness.runs.metrics_file import MetricsFile
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import REFUSED, Record
from stabench.harness.stats.estimate import Estimate
from stabench.harness.suites.suite import SystemUse

DEFAULT = "default"
MINIATURE = "a pocket-size system of the same form, not the published one"


class Standing(NamedTuple):
    """A system of the run that a table's row names; `miniature`: only in its form."""

    use: SystemUse
    miniature: bool


def find_standings(row: PaperRow, results: Results) -> list[Standing]:
    """Return the systems that stand for a row: by name in suites it lists, else by use."""
    if results.run is None:
        return []
    suite = results.run.suite
    named = row.suites.get(suite.name)
    standings = []
    for use in suite.systems:
        if use.name in named if named is not None else use.use in row.use:
            standings.append(Standing(use, False))
        elif use.use in row.miniatures:
            standings.append(Standing(use, True))
    return standings


def explain_quality(
    conditions: Conditions,
    results: Results,
    row: PaperRow,
    standing: Standing,
    column: str,
    cell: Estimate,
) -> Iterator[str]:
    """Yield why a score cannot be compared, the gravest first."""
    if standing.miniature:
        yield MINIATURE
    if results.random(standing.use):
        yield REFUSED
    record = results.run.record if results.run else None
    # A miniature is the published system in its form alone: its options would all differ.
    if record and not standing.miniature:
        yield from explain_options(standing, record, row.options)
    dataset = record.dataset if record else None
    if dataset and dataset.name not in conditions.datasets:
        yield f"clips of {dataset.name}, not of {' or '.join(conditions.datasets)}"
    if not any(abs(cell.n - n) <= n * conditions.clips_share for n in conditions.clips):
        yield f"{cell.n} clips; {conditions.clips_said}"
    if results.metrics and column in results.metrics.columns:
        yield from _explain_scoring(conditions, results.metrics, column)


def _explain_scoring(conditions: Conditions, metrics: MetricsFile, column: str) -> Iterator[str]:
    """Yield where the protocol or the network of a column is not the paper's."""
    # By its digest too: a protocol of the same name may have been changed.
    protocol = metrics.provenance.protocol
    if (protocol.name, protocol.digest) != (conditions.protocol, conditions.digest):
        yield f"protocol {protocol.title}, not '{conditions.protocol}' as it is known here"
    role = metrics.columns[column].embedder or ""
    net = metrics.provenance.embedders.get(role)
    if net is None or net.origin not in conditions.origins.get(role, ()):
        heard = f"{net.name} ({net.origin})" if net else "nothing that is recorded"
        wanted = " or ".join(conditions.origins.get(role, ("no known network",)))
        yield f"embedder weights: heard by {heard}, not {wanted}"
    elif net.precision != "float32":
        yield f"embedder in {net.precision}, not float32"


def explain_latency(
    conditions: Conditions, results: Results, row: PaperRow, standing: Standing
) -> Iterator[str]:
    """Yield why a time cannot be compared even as a part of a ratio, the gravest first."""
    record = results.run.record if results.run else None
    if standing.miniature:
        yield MINIATURE
    if record and record.request.device != conditions.device:
        yield f"timed on {record.request.device}; the published times are of an accelerator"
    if record and record.dataset.name not in conditions.latency_datasets:
        yield f"speech of {record.dataset.name}, not of {' or '.join(conditions.latency_datasets)}"
    if record and not standing.miniature:
        yield from explain_options(standing, record, {**row.options, **row.latency_options})


def explain_options(
    standing: Standing, record: Record, allowed: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the options with which a system is not the published one."""
    precision = standing.use.precision or record.suite.run.precision
    options = {**standing.use.options, "precision": precision}
    for name, values in allowed.items():
        # "a.b" is option b of the table a, and what is not set at any depth is the default.
        value: Any = options
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                value = DEFAULT
                break
            value = value[part]
        if value not in values:
            among = " or ".join(map(str, values))
            yield f"{standing.use.name}: {name} is {value}, as published it is {among}"
