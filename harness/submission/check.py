"""Checking a submission: what a team runs before it sends one, and a board before it takes one."""

import sys
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from stabench.harness import registry
from stabench.harness.errors import unknown
from stabench.harness.runner import plan
from stabench.harness.runs.run_folder import Request
from stabench.harness.scoring.features import Progress
from stabench.harness.submission import claims
from stabench.harness.submission.findings import (
    Broken,
    Finding,
    count,
    error,
    note,
    refuse,
    show,
    warning,
)
from stabench.harness.submission.package import Package, open_package
from stabench.harness.submission.schema import NAME
from stabench.harness.submission.sources import JOURNAL
from stabench.harness.submission.timeline import check_timeline
from stabench.harness.suites.suite import load

UNSEEN = (
    "times, transcripts, hardware and commit agree with one another; "
    "whether they are true is taken on trust"
)


class Accepted(NamedTuple):
    """A package without an error, and what else its check found."""

    package: Package
    findings: list[Finding]


def check(path: Path, stream: TextIO | None = None, **options: Any) -> Accepted:
    """Check the submission at `path` and print every finding; `options` are check_package's.

    Nothing of it is run or unpacked. Raises Refused (exit code 1) when there is an error, and
    MissingError for a file, weights or recordings that are not there.
    """
    stream = stream or sys.stdout
    try:
        package = open_package(path)
    except Broken as fault:
        show(fault.findings, stream)
        refuse(fault.findings)
        raise  # never reached: what is broken has an error
    findings = check_package(package, **options)
    show(findings, stream)
    refuse(findings)
    return Accepted(package, findings)


def check_package(
    package: Package,
    *,
    suite: str | None = None,
    rescore: bool = True,
    system: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[Finding]:
    """Return everything that is to be said of a package.

    The suite is this installation's of the name that the submission gives, or `suite`, a name or
    .toml file. `system`, a name of the suite or "path.py:Class", is run on a few clips besides:
    give only code that you trust. Raises MissingError for weights or recordings that are not there.
    """
    findings = list(claims.check_claims(package))
    name, suites = package.submission.suite.name, registry.entries("suites")
    # A submission never names a file to be read: only the caller's `suite` may be a path.
    if suite is None and name not in suites:
        return [*findings, error(NAME, "suite.name", unknown("suite", name, suites))]
    bench = plan.resolve(load(suite or name), Request())
    record, rows = package.sources.record, package.sources.rows
    findings += check_timeline(rows, record, bench.suite.run)
    findings += claims.check_rates(package)
    differences = list(claims.check_clips(package, bench.suite, bench.dataset))
    findings += [*differences, *claims.check_speech(rows, bench.dataset)]
    # Of other clips or rules the numbers differ anyway: the networks would run in vain.
    if count(differences, "error"):
        return [*findings, warning(NAME, "metrics", "not scored again: other clips or rules")]
    findings += claims.check_times(package, bench.suite)
    findings.append(note(JOURNAL, "rows", UNSEEN))
    if not rescore:
        return [*findings, warning(NAME, "metrics", "not scored again, as asked")]
    return [*findings, *_run_networks(package, bench, system, device, progress)]


def _run_networks(
    package: Package, bench: plan.Plan, system: str | None, device: str, progress: Progress | None
) -> list[Finding]:
    """Do what needs networks: score again and, where asked, run the system itself."""
    from stabench.harness.scoring.score import silent
    from stabench.harness.submission.scorer import Scorer, rescore
    from stabench.harness.submission.system_audit import exercise

    progress = progress or silent
    scorer = Scorer.load(bench.suite, bench.dataset.clips, progress, device)
    findings = list(rescore(package, scorer, progress))
    if system is not None:
        findings += exercise(system, bench, package, device)
    return findings
