"""Accepting: a package that passes its check becomes an entry of the leaderboard."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from harness.board import folder
from harness.board.archive import open_archive
from harness.board.check import check_submission
from harness.board.findings import Finding, printable, ranked, refuse, show, warning
from harness.board.site_entries import (
    ENTRIES,
    MOST_CLIPS,
    VERDICT,
    Entry,
    Verdict,
    entries,
    named_well,
)
from harness.board.submission import NAME, Submission
from harness.environment import git
from harness.errors import StabenchError
from harness.features import Progress
from harness.journal import timestamp

SHORT, MOST_REMARKS = 300, 100
"""Characters of a remark that a verdict keeps, and remarks."""


def accept(
    package: Path,
    root: Path = ENTRIES,
    *,
    name: str | None = None,
    suite: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Check a package, every number made again, and write its entry; return the folder.

    The findings go to standard error. Raises Refused (exit code 1) when one is an error, and
    StabenchError for an entry that is there already.
    """
    others = entries(root) if root.is_dir() else []
    findings = check_submission(package, suite=suite, device=device, progress=progress)
    show(findings, sys.stderr)
    refuse(findings)
    archive, _ = open_archive(package)
    claimed = archive.read(NAME)
    submission = Submission.model_validate_json(claimed)
    place = root / _name(submission, name, others)
    if loans := list(borrowed(submission, others)):
        show(loans, sys.stderr)
    verdict = _verdict(claimed, submission, [*findings, *loans])
    files = {NAME: claimed, VERDICT: verdict.model_dump_json(by_alias=True, indent=1).encode()}
    for clip in submission.audio.clips[:MOST_CLIPS]:
        files[f"audio/{clip}.wav"] = archive.read(f"audio/{clip}.wav")
    folder.put(place, files)
    return place


def borrowed(submission: Submission, others: Sequence[Entry]) -> Iterator[Finding]:
    """Sounds that are those of an entry with other weights, sample for sample."""
    own = [one.sha256 for one in submission.outputs.values()]
    for entry in others:
        theirs = {one.sha256 for one in entry.submission.outputs.values()}
        shared = sum(sha256 in theirs for sha256 in own)
        if shared and entry.submission.system.weights != submission.system.weights:
            message = f"{shared} of {len(own)} sounds are those of entry '{entry.id}', exactly"
            yield warning(NAME, "outputs", message)


def _name(submission: Submission, given: str | None, others: Sequence[Entry]) -> str:
    name = given or f"{submission.run.id}-{submission.system.name}"
    if not named_well(name):
        raise StabenchError(
            f"entry '{printable(name)}': expected letters, digits, '.', '_', '+', '-'; give --id"
        )
    for entry in others:
        if entry.id.casefold() == name.casefold():
            raise StabenchError(f"entry '{entry.id}': is there already; give another --id")
    return name


def _verdict(claimed: bytes, submission: Submission, findings: list[Finding]) -> Verdict:
    """A check without an error made every column and every time again."""
    source = git()
    told = [str(one) for one in ranked(findings)]
    return Verdict(
        submission_sha256=hashlib.sha256(claimed).hexdigest(),
        checked_at=timestamp(),
        stabench=metadata.version("stabench"),
        commit=source.commit if source and not source.dirty else None,
        recomputed=tuple(submission.metrics),
        heard=len(submission.audio.clips),
        latency=bool(submission.latency.phases),
        errors=0,
        remarks=(*(line[:SHORT] for line in told[:MOST_REMARKS]), *_more(told)),
    )


def _more(told: list[str]) -> list[str]:
    more = len(told) - MOST_REMARKS
    return [f"and {more} more remarks, which the check prints"] if more > 0 else []
