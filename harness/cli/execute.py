"""What `stabench run` does with a run folder: run, score, report; Python's `stabench.run`, too."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from stabench.harness import registry
from stabench.harness.errors import StabenchError
from stabench.harness.report.report import report
from stabench.harness.runs.run_folder import RUNS, RunFolder, stamped


def execute(folder: RunFolder, stream: TextIO | None = None) -> None:
    """Run what is left of a run, score it, report it; print the summary to `stream`.

    Progress goes to standard error. Raises Interrupted with how to go on, TooManyFailures at the
    very end, when everything is written.
    """
    from stabench.harness.runner.engine import Engine, check_failures
    from stabench.harness.runner.progress import progress_on
    from stabench.harness.scoring.score import check_networks

    print(f"run folder: {folder.path}", file=sys.stderr)
    # Before the first clip: weights that are missing should not end an hour of running.
    scored = folder.record.request.phase == "all"
    if scored:
        check_networks(folder.path)
    Engine(folder, progress_on(sys.stderr)).run()
    if scored:
        score(folder.path)
    report(folder.path, stream, brief=True)
    check_failures(folder)


def score_wavs(
    reference: Path,
    outputs: Mapping[str, Path],
    captions: Path | None,
    out: Path | None,
    *,
    protocol: str | None,
    backends: Mapping[str, str | None],
    sanity: bool,
    stream: TextIO | None = None,
    **how: Any,
) -> Path:
    """Score folders of WAVs into `out`, or a new folder beside runs; return it.

    The report goes to `stream`, by default to standard output and the folder's name to standard
    error.

    `backends` are embedders by role that replace the protocol's; `how` is the rest of what
    `scoring.score.score_folders` takes. Raises what that raises, and StabenchError without a
    protocol: which networks can judge these sounds is for whoever has them to say.
    """
    from stabench.harness.runner.progress import Scoring
    from stabench.harness.scoring.score import score_folders
    from stabench.harness.suites import protocols

    if protocol is None:
        raise StabenchError(
            "folders are scored by a protocol, which has no default; give one of "
            f"{', '.join(registry.entries('protocols'))} (paper: as text-to-audio papers do; "
            "pocket: networks that know nothing but the pocket suite's sounds), or a .toml file"
        )
    rules = protocols.load(protocol, {role: name for role, name in backends.items() if name})
    out = out or RUNS / stamped("scores")
    rows = None if sanity else ()
    progress = Scoring(sys.stderr)
    score_folders(reference, outputs, captions, out, rules, sanity=rows, progress=progress, **how)
    report(out, stream)
    if stream is None:
        print(f"scores folder: {out}", file=sys.stderr)
    return out


def score(run: Path | str, *, replace: bool = False) -> Path:
    """Score a run once more, on the device that it ran on; return its folder.

    `replace` also scores that have numbers which these would lack.
    """
    from stabench.harness.runner.progress import Scoring
    from stabench.harness.scoring.score import score_run

    folder = RunFolder.open(run)
    device = folder.record.request.device
    score_run(folder.path, Scoring(sys.stderr), device, replace=replace)
    return folder.path
