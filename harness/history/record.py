"""Recording: what the history keeps of a run, and which runs it takes."""

import hashlib
from importlib import metadata
from pathlib import Path

from stabench.harness.errors import StabenchError
from stabench.harness.history import history
from stabench.harness.history.history import HistoryRecord
from stabench.harness.report.table import Row, tabulate
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.stats.estimate import Estimate
from stabench.harness.submission import cards


def add(run: Path, path: Path = history.HISTORY, *, dirty: bool = False) -> HistoryRecord:
    """Record a run in the history at `path`; return what was written."""
    line = record(Results.read(run), dirty=dirty)
    history.append(line, path)
    return line


def record(results: Results, *, dirty: bool = False) -> HistoryRecord:
    """Return the compact record of a finished, scored run.

    Raises StabenchError for one that does not belong into a history: from a tree that differs
    from its commit (unless `dirty`), unfinished, unscored, or scored by random networks.
    """
    folder = recordable(results, dirty=dirty)
    git, settings = folder.record.environment.git, folder.suite.run.model_dump()
    suite, data = cards.suite_card(folder.suite), cards.record_dataset(folder.record)
    rules = results.metrics.provenance.protocol if results.metrics else None
    return HistoryRecord(
        task=results.task_name,
        run=identify_run(folder),
        at=folder.record.started_at,
        stabench=metadata.version("stabench"),
        source=history.Source(commit=git and git.commit, dirty=git is None or git.dirty),
        suite=history.Suite(name=suite.name, digest=suite.digest),
        dataset=history.Data(
            name=data.name, version=data.version, n=data.clips, digest=data.digest
        ),
        machine=_describe_machine(folder),
        conditions=history.Conditions(
            **{key: settings[key] for key in history.Conditions.model_fields}
        ),
        protocol=history.Protocol(title=rules.title, digest=rules.digest) if rules else None,
        columns=_describe_columns(results),
        systems={
            row.system: _describe_system(results, folder, row) for row in tabulate(results).systems
        },
    )


def recordable(results: Results, *, dirty: bool) -> RunFolder:
    """Return the run of the results. Raises StabenchError, as `record` does, where it may not be
    recorded."""
    name, run = f"run '{results.folder.name}'", results.run
    if run is None:
        raise StabenchError(f"{name}: scored from files; give the run of a suite")
    if results.conditions:
        raise StabenchError(
            f"{name}: it has conditions ({', '.join(results.conditions)}), and a history is of one "
            "kind of speech; run the suite with --condition clean"
        )
    git = run.record.environment.git
    if (git is None or git.dirty) and not dirty:
        what = "is in no commit" if git is None else f"differs from commit {git.commit[:12]}"
        raise StabenchError(f"{name}: its source {what}; run a clean tree, or give --dirty")
    if run.record.finished_at is None:
        raise StabenchError(f"{name}: not finished; resume it first")
    # A run of the first phases only (--phase) has no sounds to score: its times are recorded.
    if results.metrics is None and run.record.request.phase == "all":
        raise StabenchError(f"{name}: not scored; run stabench score first")
    networks = results.metrics.provenance.embedders.values() if results.metrics else ()
    if random := [net.name for net in networks if net.origin.startswith("random")]:
        raise StabenchError(
            f"{name}: scored by {', '.join(random)} on random weights: no quality; score it by "
            "published ones"
        )
    return run


def identify_run(folder: RunFolder) -> str:
    """Return a name that a copy of the folder shares: suite, start, digest of the journal."""
    stamp = folder.record.started_at.partition(".")[0].replace("-", "").replace(":", "")
    # Two runs may start in one second; no two have the same journal, which holds wall times.
    journal = hashlib.sha256(folder.journal_path.read_bytes()).hexdigest()
    return f"{folder.suite.name}-{stamp}Z-{journal[:8]}"


def _describe_machine(folder: RunFolder) -> history.Machine:
    environment, device = folder.record.environment, folder.record.request.device
    gpu = environment.gpus[0] if device == "cuda" and environment.gpus else None
    return history.Machine(
        device=device,
        name=gpu.name if gpu else environment.cpu_model,
        cores=environment.cpu_usable,
        threads=environment.threads,
        driver=gpu and gpu.driver,
        torch=environment.torch,
        python=environment.python,
        platform=environment.platform,
    )


def _describe_columns(results: Results) -> dict[str, history.QualityColumn]:
    if results.metrics is None:
        return {}
    networks = results.metrics.provenance.embedders
    columns = {}
    for key, about in results.metrics.columns.items():
        net = networks.get(about.embedder or "")
        columns[key] = history.QualityColumn(
            **about.model_dump(include={"label", "better", "unit", "digits", "version", "source"}),
            embedder=net.name if net else None,
            identity=net.identity if net else None,
            precision=net.precision if net else None,
        )
    return columns


def _describe_system(results: Results, run: RunFolder, row: Row) -> history.System:
    use = next(use for use in run.suite.systems if use.name == row.system)
    about = run.about_systems().get(row.system, {})
    times = {timing.column.key for timing in results.timings}
    quality = {
        key: Estimate(cell.value, cell.low, cell.high, cell.n)
        for key, cell in row.cells.items()
        if key not in times and cell.value is not None
    }
    medians = {}
    for phase in results.task.phase_names:
        latency = results.latency(row.system, phase)
        median = None if isinstance(latency, str) else latency.median
        # Of too few clips there is no median.
        if median and median.value is not None:
            medians[phase] = median
    return history.System(
        label=row.label,
        paradigm=row.paradigm,
        sha256=cards.digest(
            {"use": use.use, "options": use.options, "said": about.get("provenance")}
        ),
        precision=use.precision or run.suite.run.precision,
        n=row.n,
        failed=row.failed,
        quality=quality,
        median_ns=medians,
    )
