"""Evidence of a run of probes: its encoders are the systems, its bridges the columns."""

import hashlib
import json

from stabench.harness.compare.evidence import ColumnEvidence, Evidence, Hardware, SystemEvidence
from stabench.harness.probing.page import NAMES
from stabench.harness.probing.run_file import Figures, ProbeFigure, ProbeRun
from stabench.harness.runs.metrics_file import ColumnHead
from stabench.metrics.average_precision import MEAN_AVERAGE_PRECISION

UNTIMED = "probes are not timed"


def read_probes(run: ProbeRun) -> Evidence:
    """Return what a run of probes knows, clip by clip; mAP is of a set, and pairs whole sets only.

    Raises MissingError before there are figures.
    """
    record, figures = run.record, run.figures
    metric, suite = MEAN_AVERAGE_PRECISION, record.probes
    heads = {
        bridge: ColumnHead(
            label=f"{metric.label}, {NAMES[bridge]}",
            unit=metric.unit,
            digits=metric.digits,
            better=metric.better,
        )
        for bridge in suite.probes.bridges
    }
    environment = record.environment
    return Evidence(
        schema=1,
        name=run.path.name,
        made_at=record.finished_at or record.started_at,
        suite=suite.name,
        dataset=figures.corpus,
        dataset_version=figures.corpus_version,
        hardware=Hardware(
            device=record.request.device,
            cpu_model=environment.cpu_model,
            gpu=" + ".join(sorted({gpu.name for gpu in environment.gpus})) or None,
            threads=environment.threads,
        ),
        git_commit=environment.git and environment.git.commit,
        heads=heads,
        systems={
            use.name: SystemEvidence(
                name=use.name,
                label=use.label or use.name,
                paradigm="unstated",
                n=figures.clips["test"],
                columns={
                    bridge: _read_column(probe, figures)
                    for bridge in suite.probes.bridges
                    if (probe := figures.find(use.name, bridge))
                },
                untimed=UNTIMED,
            )
            for use in suite.encoders
        },
    )


def _read_column(probe: ProbeFigure, figures: Figures) -> ColumnEvidence:
    # What makes two figures comparable: the metric, and how many classes it could be a mean over.
    rules = [figures.metric, figures.metric_version, figures.classes, probe.bridge]
    return ColumnEvidence(
        value=probe.cell.value,
        better=MEAN_AVERAGE_PRECISION.better,
        kind="set",
        per_clip=probe.per_clip,
        n=probe.cell.n,
        reason=probe.cell.reason,
        digest=hashlib.sha256(json.dumps(rules).encode()).hexdigest(),
    )
