"""Checking a submission: what a team runs before it sends one, and a board before it takes one."""

import sys
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import registry
from stabench.harness.errors import unknown
from stabench.harness.runner import plan
from stabench.harness.runs.run_folder import Request
from stabench.harness.scoring.features import Progress
from stabench.harness.submission import claims
from stabench.harness.submission.findings import Finding, count, error, note, refuse, show, warning
from stabench.harness.submission.package import Package, open_package
from stabench.harness.submission.schema import NAME
from stabench.harness.submission.sources import JOURNAL
from stabench.harness.submission.timeline import timeline

TRUSTED = (
    "times, transcripts, hardware and commit agree with one another; "
    "whether they are true is taken on trust"
)


def check_submission(
    path: Path,
    *,
    suite: str | None = None,
    rescore: bool = True,
    system: str | None = None,
    device: str = "cpu",
    full: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Everything found in the submission at `path`; nothing of it is run or unpacked.

    The suite is this installation's of the name that the submission gives, or `suite`, a name or
    .toml file. `full` refuses a sample of the sounds. `system`, a name of the suite or
    "path.py:Class", is run on a few clips besides: give only code that you trust. Raises
    MissingError for a file, weights or recordings that are not there.
    """
    package, found = open_package(path)
    if package is None:
        return found
    found += claims.claims(package)
    if full:
        found += claims.all_heard(package)
    wanted = _suite(package, suite)
    if isinstance(wanted, Finding):
        return [*found, wanted]
    bench = plan.resolve(wanted, Request())
    found += timeline(package.sources.rows, package.sources.record, bench.suite.protocol)
    found += claims.rates(package)
    known = list(claims.whole(package, bench.suite, bench.dataset))
    found += [*known, *claims.speech(package.sources.rows, bench.dataset)]
    if count(known, "error"):
        return [*found, warning(NAME, "metrics", "nothing made again: other clips or rules")]
    found += claims.times(package, bench.suite)
    found.append(note(JOURNAL, "rows", TRUSTED))
    if not rescore:
        return [*found, warning(NAME, "metrics", "not scored again, as asked")]
    return [*found, *_networks(package, bench, system, device, progress)]


def _suite(package: Package, given: str | None) -> str | Finding:
    """The suite's name in the registry; a submission never names a file to be read."""
    if given is not None:
        return given
    name, known = package.submission.suite.name, registry.entries("suites")
    if name in known:
        return name
    return error(NAME, "suite.name", unknown("suite", name, known))


def _networks(
    package: Package, bench: plan.Plan, system: str | None, device: str, progress: Progress | None
) -> list[Finding]:
    """What needs networks: scores and, where asked, the system itself."""
    from stabench.harness.scoring.score import silent
    from stabench.harness.submission.rescore import rescored
    from stabench.harness.submission.scorer import Judge
    from stabench.harness.submission.system_audit import exercise

    told = progress or silent
    judge = Judge.of(bench.suite, bench.dataset.clips, told, device)
    found = list(rescored(package, judge, told))
    if system is not None:
        found += exercise(system, bench, package, device)
    return found


def check(path: Path, stream: TextIO | None = None, **how: Any) -> None:
    """Check and print every finding. Raises Refused (exit code 1) when there is an error."""
    found = check_submission(path, **how)
    show(found, stream or sys.stdout)
    refuse(found)
