"""The command line: `stabench run | score | report | list | doctor`; heavy imports come late."""

import errno
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import StabenchError

INTERNAL = 70
"""Exit code of a fault of our own (EX_SOFTWARE of sysexits.h)."""

app = typer.Typer(
    name="stabench",
    help="Benchmark and evaluate speech-to-audio generation.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Device(StrEnum):
    """Where systems run."""

    cpu = "cpu"
    cuda = "cuda"


class Phase(StrEnum):
    """`represent` stops after the processing latency: no audio, no scores."""

    represent = "represent"
    all = "all"


Suite = Annotated[str, typer.Argument(metavar="SUITE", help="Registered suite, or a .toml file.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help='A run folder, or "latest".')]
SystemOption = Annotated[
    list[str] | None,
    typer.Option("--system", metavar="NAME|path.py:Class", help="Run only this one; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N clips.")]
DeviceOption = Annotated[Device | None, typer.Option("--device", help="Default: cpu.")]
PhaseOption = Annotated[Phase | None, typer.Option("--phase", help="Default: all.")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="RUN", help='Take up a run folder again, or "latest".'),
]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="No worker processes (debugging; no time-outs).")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the run folder is made.")]
Speech = Annotated[
    Path | None, typer.Option("--speech", metavar="DIR", help="WAVs in place of the dataset.")
]
Captions = Annotated[
    Path | None, typer.Option("--captions", metavar="CSV", help="Columns id, caption.")
]
RUNS = Path("results/runs")
SCORES = Path("results/scores")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (any place).")] = False,
) -> None:
    """Benchmark and evaluate speech-to-audio generation."""


@app.command()
def run(
    suite: Suite,
    system: SystemOption = None,
    limit: Limit = None,
    device: DeviceOption = None,
    resume: Resume = None,
    phase: PhaseOption = None,
    in_process: InProcess = False,
    out: Out = RUNS,
    speech: Speech = None,
    captions: Captions = None,
) -> None:
    """Run a suite, score it and report it."""
    from harness import plan
    from harness.run_folder import Request, RunFolder

    asked = _given(
        systems=tuple(system or ()),
        limit=limit,
        device=device and device.value,
        phase=phase and phase.value,
        in_process=in_process,
        speech=speech and str(speech),
        captions=captions and str(captions),
    )
    if resume is None:
        folder = plan.begin(suite, Request(**asked), out)
    else:
        folder = plan.resume(suite, RunFolder.open(resume, out), asked)
    _execute(suite, folder)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given on the command line."""
    return {name: value for name, value in options.items() if value}


def _execute(suite: str, folder: Any) -> None:
    """Run, score, report; complain of failed clips last."""
    from harness.engine import Engine, Interrupted, check_failures
    from harness.progress import progress_on
    from harness.report import report

    print(f"run folder: {folder.path}", file=sys.stderr)
    try:
        Engine(folder, progress_on(sys.stderr)).run()
    except Interrupted as error:
        again = f"stabench run {suite} --resume {folder.path}"
        raise Interrupted(f"{error}; continue with {again}") from None
    if folder.record.request.phase == "all":
        _score(folder)
    report(folder.path)
    check_failures(folder)


def _score(folder: Any) -> None:
    from harness.progress import Scoring
    from harness.scoring import score_run

    score_run(folder.path, Scoring(sys.stderr), folder.record.request.device)


@app.command()
def score(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help='Or "latest".')] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="DIR", help="Recordings to compare with.")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--outputs", metavar="NAME=DIR", help="WAVs of a system; repeatable."),
    ] = None,
    captions: Captions = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where scores of folders are written.")
    ] = SCORES,
) -> None:
    """Score a run again, or folders of WAVs paired by file name; then report."""
    from harness.report import report
    from harness.run_folder import RunFolder

    if run is not None and reference is None and not outputs:
        folder = RunFolder.open(run)
        _score(folder)
        report(folder.path)
    elif run is None and reference is not None and outputs:
        report(_score_folders(reference, dict(map(_named_folder, outputs)), captions, out))
    else:
        raise StabenchError("score takes RUN, or --reference DIR with --outputs NAME=DIR")


def _score_folders(
    reference: Path, outputs: dict[str, Path], captions: Path | None, out: Path
) -> Path:
    from harness.progress import Scoring
    from harness.scoring import score_folders

    progress = Scoring(sys.stderr)
    return score_folders(reference, outputs, captions, out, progress=progress).parent


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise StabenchError(f"--outputs '{text}': expected NAME=DIR, such as star=outputs/star")
    return name, Path(path)


@app.command("report")
def report_(run: RunArgument) -> None:
    """Write and print the report of a run, or of scored folders."""
    from harness.report import report

    report(run)


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="[systems|suites|datasets|embedders|metrics]")
    ] = None,
) -> None:
    """List what is registered."""
    from harness.listing import listing, show

    show(listing(kind))


@app.command()
def doctor() -> None:
    """Say what this machine offers and what is missing."""
    from harness.doctor import examine

    for line in examine(RUNS):
        print(line)


def main() -> int:
    """The console script: one line on standard error and an exit code, whatever goes wrong."""
    debug = "--debug" in sys.argv[1:]
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        return app(arguments, prog_name="stabench", standalone_mode=False) or 0
    except BaseException as error:
        if debug:
            traceback.print_exc()
        line, code = _ending(error)
        if line:
            print(f"stabench: {line}", file=sys.stderr)
        return code


def _ending(error: BaseException) -> tuple[str, int]:
    """What to print and the exit code to end with."""
    if isinstance(error, StabenchError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted", 130
    if hasattr(error, "format_message"):  # click's own errors; typer carries a copy of click
        return error.format_message(), error.exit_code
    if isinstance(error, SystemExit):
        return "", int(error.code or 0)
    if isinstance(error, OSError) and error.errno is not None:
        return _disk(error), 2
    kind = type(error).__name__
    return f"internal fault: {kind}: {error}; run again with --debug for the place", INTERNAL


def _disk(error: OSError) -> str:
    place = f" '{error.filename}'" if error.filename else ""
    hint = "; free some space and resume the run" if error.errno in FULL else ""
    return f"cannot read or write{place}: {error.strerror}{hint}"


FULL = (errno.ENOSPC, errno.EDQUOT)

if __name__ == "__main__":
    sys.exit(main())
