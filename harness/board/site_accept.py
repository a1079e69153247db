"""Accepting: a package that passes its check becomes an entry of the leaderboard."""

import hashlib
import shutil
import sys
from importlib import metadata
from pathlib import Path

from harness import atomic
from harness.board.archive import open_archive
from harness.board.check import check_submission
from harness.board.findings import Finding, printable, refuse, show
from harness.board.site_entries import ENTRIES, MOST_CLIPS, VERDICT, Verdict, named_well
from harness.board.submission import NAME, Submission
from harness.environment import git
from harness.errors import StabenchError
from harness.features import Progress
from harness.journal import timestamp

SHORT = 300
"""Characters of a remark that a verdict keeps."""


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
    findings = check_submission(package, suite=suite, device=device, progress=progress)
    show(findings, sys.stderr)
    refuse(findings)
    archive, _ = open_archive(package)
    claimed = archive.read(NAME)
    submission = Submission.model_validate_json(claimed)
    folder = root / _name(submission, name)
    if folder.exists():
        raise StabenchError(f"entry '{folder}': is there already; give another --id")
    verdict = _verdict(claimed, submission, findings)
    files = {NAME: claimed, VERDICT: verdict.model_dump_json(by_alias=True, indent=1).encode()}
    for clip in submission.audio.clips[:MOST_CLIPS]:
        files[f"audio/{clip}.wav"] = archive.read(f"audio/{clip}.wav")
    _write(folder, files)
    return folder


def _name(submission: Submission, given: str | None) -> str:
    name = given or f"{submission.run.id}-{submission.system.name}"
    if not named_well(name):
        raise StabenchError(
            f"entry '{printable(name)}': expected letters, digits, '.', '_', '+', '-'; give --id"
        )
    return name


def _verdict(claimed: bytes, submission: Submission, findings: list[Finding]) -> Verdict:
    """A check without an error made every column and every time again."""
    source = git()
    told = [str(one) for one in findings if one.severity != "error"]
    return Verdict(
        submission_sha256=hashlib.sha256(claimed).hexdigest(),
        checked_at=timestamp(),
        stabench=metadata.version("stabench"),
        commit=source.commit if source and not source.dirty else None,
        recomputed=tuple(submission.metrics),
        heard=len(submission.audio.clips),
        latency=bool(submission.latency.phases),
        errors=0,
        remarks=tuple(line[:SHORT] for line in told),
    )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """The whole folder or nothing."""
    part = folder.with_name(f".{folder.name}{atomic.TEMPORARY}")
    shutil.rmtree(part, ignore_errors=True)
    for name, content in files.items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    part.rename(folder)
