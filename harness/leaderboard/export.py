"""Export: a run's systems in the format of Every Eval Ever, an aggregate and lines of samples each.

    OUT/data/stabench-<suite>/<developer>/<model>/<uuid>.json
                                                  <uuid>_samples.jsonl

Only what was measured is written. What was not is named, with its reason, in the additional
details of the source. Systems and networks on random weights are refused.
"""

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stabench.harness import files
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.history.record import record, recordable
from stabench.harness.leaderboard import every_eval_ever as eee
from stabench.harness.leaderboard.export_samples import (
    REMARKS,
    Subject,
    list_samples,
    to_json,
)
from stabench.harness.report.table import tabulate
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RunFolder
from stabench.harness.stats.bootstrap import LEVEL
from stabench.harness.stats.estimate import Estimate
from stabench.harness.submission import cards
from stabench.harness.suites.suite import SystemUse
from stabench.harness.tasks.task import DERIVED, Column, Phase

# Developer and model become folders of a datastore: neither may lead out of it.
MODEL_ID = re.compile(r"(?!data/)[A-Za-z0-9][\w.+-]*(?<!\.)/[A-Za-z0-9][\w.+-]*(?<!\.)", re.ASCII)
PERCENTS = (50, 90, 95, 99)
# That of latencies; quality columns state their own.
INTERVAL = "bootstrap over clips, neighbours in time together, expanded percentiles"


class Evaluator(NamedTuple):
    """What a run does not know: who made it, their relation to the model, the model's Hub id."""

    organization: str = eee.UNKNOWN
    relationship: eee.Relationship = "other"
    model_id: str | None = None


NOBODY = Evaluator()


def export_run(
    run: Path,
    out: Path,
    system: str | None = None,
    evaluator: Evaluator = NOBODY,
    now: datetime | None = None,
) -> list[Path]:
    """Write every system of a finished, scored run, or one, below `out`; return the aggregates.

    The same run gives the same files, but for the time of the export in each aggregate. Raises
    StabenchError for a run that cannot be exported (unfinished, unscored, scored from files, a
    system or a network on random weights, nothing measured), and for a bad `evaluator`.
    """
    if evaluator.model_id is not None and not MODEL_ID.fullmatch(evaluator.model_id):
        raise StabenchError(f"--model-id '{evaluator.model_id}': expected DEVELOPER/MODEL")
    if not evaluator.organization.strip():
        raise StabenchError("--organization is empty; give a name, or leave it out")
    results = Results.read(run)
    folder = recordable(results, dirty=True)
    chosen = _choose_systems(results, folder, system, evaluator)
    recorded, table = record(results, dirty=True), tabulate(results)
    rows = {row.system: row for row in table.rows}
    # What follows from the phases is no measurement of its own.
    columns = tuple(column for column in table.columns if column.key not in DERIVED)
    moment = now or datetime.now(UTC)
    content: dict[str, bytes] = {}
    for use in chosen:
        model_id = evaluator.model_id or f"{eee.UNKNOWN}/{use.name}"
        subject = Subject(results, folder, recorded, columns, rows[use.name], use, model_id)
        content |= _make_files(subject, evaluator, moment)
    # Only when all content is made: a system that is refused leaves no half of an export behind.
    try:
        for place, data in content.items():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(out / place, data)
    except OSError as error:
        raise StabenchError(
            f"--out '{out}': cannot be written ({error.strerror}); choose another folder"
        ) from None
    return [out / place for place in content if place.endswith(".json")]


def _choose_systems(
    results: Results, folder: RunFolder, system: str | None, evaluator: Evaluator
) -> list[SystemUse]:
    """Return the systems to export. Raises StabenchError where one of them cannot be."""
    uses = {use.name: use for use in folder.suite.systems}
    if system is not None and system not in uses:
        raise StabenchError(f"run '{folder.path}': {unknown('system', system, uses)}")
    if system is None and len(uses) > 1 and evaluator.model_id:
        raise StabenchError(
            f"--model-id is of one system, the run has {len(uses)}; give --system NAME too"
        )
    chosen = [uses[system]] if system else list(uses.values())
    for use in chosen:
        if results.random(use):
            raise StabenchError(
                f"system '{use.name}' of run '{folder.path}': it ran on random weights, which have "
                "no quality; choose another with --system NAME"
            )
    return chosen


def _make_files(subject: Subject, evaluator: Evaluator, moment: datetime) -> dict[str, bytes]:
    """Return the content of the files by their place in a datastore, the lines first.

    Raises StabenchError where nothing was measured.
    """
    if not subject.measured:
        raise StabenchError(
            f"system '{subject.use.name}' of run '{subject.folder.path}': nothing was measured; "
            "there is nothing to export"
        )
    # UUIDs of version 4 are random; made of a digest, those of one run are always the same.
    digest = hashlib.sha256(subject.evaluation_id.encode()).digest()
    name = uuid.UUID(bytes=digest[:16], version=4)
    base = f"data/stabench-{subject.recorded.suite.name}/{subject.model_id}/{name}"
    samples = list(list_samples(subject))
    lines = "".join(to_json(sample) + "\n" for sample in samples).encode()
    content, detailed = {}, None
    if samples:
        detailed = eee.DetailedResults(
            file_path=f"{base}_samples.jsonl",
            checksum=hashlib.sha256(lines).hexdigest(),
            total_rows=len(samples),
            additional_details=REMARKS,
        )
        content[detailed.file_path] = lines
    log = _make_log(subject, evaluator, moment, detailed)
    content[f"{base}.json"] = (to_json(log, indent=1) + "\n").encode()
    return content


def _make_log(
    subject: Subject, evaluator: Evaluator, moment: datetime, detailed: eee.DetailedResults | None
) -> eee.EvaluationLog:
    """Return the aggregate."""
    kept, record = subject.recorded, subject.folder.record
    rules = {"suite": kept.suite.name, "suite_sha256": kept.suite.digest}
    if kept.protocol:
        rules |= {"protocol": kept.protocol.title, "protocol_sha256": kept.protocol.digest}
    return eee.EvaluationLog(
        evaluation_id=subject.evaluation_id,
        evaluation_timestamp=record.started_at,
        retrieved_timestamp=str(int(moment.timestamp())),
        source_metadata=eee.SourceMetadata(
            source_organization_name=evaluator.organization,
            evaluator_relationship=evaluator.relationship,
            additional_details=_describe_run(subject),
        ),
        eval_library=eee.EvalLibrary(
            name="stabench",
            version=record.environment.packages.get("stabench", eee.UNKNOWN),
            additional_details=rules,
        ),
        model_info=eee.ModelInfo(
            name=subject.row.label,
            id=subject.model_id,
            developer=subject.model_id.partition("/")[0],
            additional_details=eee.ModelDetails(
                paradigm=subject.row.paradigm,
                precision=kept.systems[subject.use.name].precision,
                statement_sha256=kept.systems[subject.use.name].sha256,
                note=subject.use.note or None,
                caveat=subject.row.caveat or None,
            ),
        ),
        evaluation_results=tuple(
            _make_result(subject, column) for column in subject.measured.values()
        ),
        detailed_evaluation_results=detailed,
    )


def _describe_run(subject: Subject) -> eee.Details:
    """Return what a reader must know of the run, and all that is left out with the reason."""
    kept, record = subject.recorded, subject.folder.record
    marks = list(cards.marks(record, subject.trials))
    if record.request.limit is not None:
        marks.append(f"only the first {record.request.limit} clips of the dataset")
    cells = subject.row.cells
    # A result needs a score, so that a column without one can only be named here.
    absent = {
        column.label: cells[column.key].reason or "no value"
        for column in subject.columns
        if column.key not in subject.measured
    }
    counts = {
        column.label: len(subject.values.get(key, {})) for key, column in subject.measured.items()
    }
    whole = [label for label, count in counts.items() if not count]
    some = [f"{label} {count}" for label, count in counts.items() if 0 < count < subject.row.n]
    facts = {
        "run": kept.run,
        "commit": kept.source.commit,
        "marks": "; ".join(marks),
        "not_measured": json.dumps(absent, ensure_ascii=False) if absent else None,
        "without_values_of_clips": ", ".join(whole),
        "clips_with_a_value": ", ".join(some),
        "failed_clips": json.dumps(subject.failed, ensure_ascii=False) if subject.failed else None,
    }
    return {key: value for key, value in facts.items() if value}


def _make_result(subject: Subject, column: Column) -> eee.EvaluationResult:
    kept, data = subject.recorded, subject.recorded.dataset
    machine = kept.machine.model_dump(exclude_none=True)
    how = {key: str(value) for key, value in kept.conditions.model_dump().items()}
    how |= {f"machine.{key}": str(value) for key, value in machine.items()}
    # That of the system, which may differ from the protocol's.
    how["precision"] = kept.systems[subject.use.name].precision
    facts = {"version": data.version, "clips": str(data.n), "sha256": data.digest}
    phase = subject.results.task.phase_of(column.key)
    return eee.EvaluationResult(
        evaluation_result_id=f"{subject.evaluation_id}/{column.key}",
        evaluation_name=f"{kept.suite.name}.{column.key}",
        source_data=eee.SourceData(dataset_name=data.name, additional_details=facts),
        evaluation_timestamp=subject.folder.record.started_at,
        metric_config=_describe_latency(phase) if phase else _describe_quality(subject, column),
        score_details=_make_score(subject, column, subject.row.cells[column.key]),
        generation_config=eee.GenerationConfig(additional_details=how),
    )


def _describe_quality(subject: Subject, column: Column) -> eee.MetricConfig:
    """Return what a quality column is, with its rules and the network that heard the sounds."""
    metrics = subject.results.metrics
    assert metrics is not None, "a run without scores has no quality"
    about = metrics.columns[column.key]
    details = {"version": str(about.version)}
    if about.source:
        details["source"] = about.source
    if about.protocol:
        details["protocol"] = about.protocol
    if network := metrics.provenance.embedders.get(about.embedder or ""):
        facts = network.model_dump(include={"name", "origin", "sha256", "identity"})
        details |= {f"embedder.{key}": value for key, value in facts.items()}
        examined = metrics.provenance.examinations[about.embedder or ""]
        details["embedder.examination"] = examined.verdict
    rules = {key: value for key, value in about.rules.items() if value is not None}
    return eee.MetricConfig(
        evaluation_description=about.about or None,
        metric_id=f"stabench.{column.key}",
        metric_name=about.label,
        metric_kind=column.key,
        metric_unit=about.unit or None,
        metric_parameters=rules or None,
        lower_is_better=about.better == "lower",
        additional_details=details,
    )


def _make_score(subject: Subject, column: Column, cell: Estimate) -> eee.ScoreDetails:
    assert cell.value is not None, "only measured columns are exported"
    method, level, resamples = INTERVAL, LEVEL, subject.folder.suite.run.bootstrap
    details = {"interval": cell.reason} if cell.reason else {}
    if phase := subject.results.task.phase_of(column.key):
        details |= _list_percentiles(subject, phase)
    elif subject.results.metrics:
        source = subject.results.metrics.provenance
        method, level, resamples = source.interval, source.level, source.bootstrap
    if cell.p_value is not None:
        details["p_value"] = repr(cell.p_value)
    interval = None
    if cell.low is not None and cell.high is not None:
        interval = eee.ConfidenceInterval(
            lower=cell.low, upper=cell.high, confidence_level=level, method=method
        )
    return eee.ScoreDetails(
        score=cell.value,
        details=details or None,
        uncertainty=eee.Uncertainty(
            confidence_interval=interval,
            standard_deviation=cell.sd,
            num_samples=cell.n,
            num_bootstrap_samples=resamples if interval else None,
        ),
    )


def _list_percentiles(subject: Subject, phase: Phase) -> dict[str, str]:
    """Return the percentiles of a phase in its unit, or why the clips do not suffice."""
    latency = subject.results.latency(subject.use.name, phase.name)
    assert not isinstance(latency, str), "a measured phase has samples"
    told = {}
    for percent in PERCENTS:
        estimate = latency.percentile(percent).scaled(1 / phase.unit_ns)
        known = estimate.value is not None
        told[f"p{percent}"] = repr(estimate.value) if known else str(estimate.reason)
        if estimate.low is not None:
            told[f"p{percent}_interval"] = f"{estimate.low!r} to {estimate.high!r}"
    return told


def _describe_latency(phase: Phase) -> eee.MetricConfig:
    """Return what a latency column is: a mean wall time, never below 0."""
    column = phase.column
    return eee.MetricConfig(
        evaluation_description=f"wall time of the phase '{phase.name}', mean over clips",
        metric_id=f"stabench.{column.key}",
        metric_name=f"{column.label}, mean",
        metric_kind="latency",
        metric_unit=column.unit,
        lower_is_better=column.better == "lower",
        score_type="continuous",
        min_score=0.0,
        # The format's own word: JSON has no infinite number.
        max_score="Infinity",
        additional_details={"clock": "time.perf_counter_ns around synchronised phases"},
    )
