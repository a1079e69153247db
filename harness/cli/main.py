"""The command line: `stabench run | score | report | ...`; heavy imports come late."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from stabench.checkpoints.cache import cache_folder
from stabench.harness.cli import compare_commands as verdicts
from stabench.harness.cli import explain_command, extend_commands, options, probe_commands
from stabench.harness.cli import leaderboard_commands as board
from stabench.harness.cli import prepare as prepare_command
from stabench.harness.cli import train as train_command
from stabench.harness.errors import StabenchError, unknown
from stabench.harness.formatting import plain

# Exit code of a fault of our own (EX_SOFTWARE of sysexits.h).
INTERNAL = 70
# Exit code after Ctrl-C.
INTERRUPTED = 130
# Exit code when nobody reads the output any more (as of SIGPIPE).
CLOSED = 141

app = typer.Typer(
    name="stabench",
    help="Benchmark and evaluate speech-to-audio generation.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(
    weights_app, name="weights", help="Published weights: what is here, and how to get it."
)


@app.callback()
def callback(debug: options.Debug = False, version: options.Version = False) -> None:
    """Benchmark and evaluate speech-to-audio generation."""


@app.command()
def run(
    suite: options.Suite = None,
    system: options.Systems = None,
    set_: options.Set = None,
    condition: options.Conditions = None,
    clip: options.ClipIds = None,
    limit: options.Limit = None,
    device: options.OnDevice = None,
    resume: options.Resume = None,
    phase: options.Until = None,
    in_process: options.InProcess = False,
    out: options.OutRuns = options.RUNS,
    speech: options.Speech = None,
    captions: options.Captions = None,
) -> None:
    """Run a suite, score it and report it.

    Example: stabench run pocket --system star --limit 12 --set run.repeats=3
    """
    from stabench.harness.cli.execute import execute
    from stabench.harness.runner import plan
    from stabench.harness.runs.run_folder import Request, RunFolder

    values: dict[str, Any] = {
        "systems": tuple(system or ()),
        "set": tuple(set_ or ()),
        "conditions": tuple(condition or ()),
        "clips": tuple(clip or ()),
        "limit": limit,
        "device": device,
        "phase": phase,
        "in_process": in_process,
        "speech": speech and str(speech),
        "captions": captions and str(captions),
    }
    if probe_commands.run_probes(suite, resume, values, out):
        return
    # Only what is on the command line: a resumed run keeps the rest of what was asked first.
    asked = {name: value for name, value in values.items() if value}
    if resume is not None:
        folder = plan.resume(suite, RunFolder.open(resume, out), asked)
    elif suite is not None:
        folder = plan.begin(suite, Request(**asked), out)
    else:
        raise StabenchError("run takes SUITE, or --resume RUN; see stabench list suites")
    execute(folder)


@app.command()
def score(
    run: options.MaybeRun = None,
    reference: options.Reference = None,
    outputs: options.Outputs = None,
    captions: options.Pairs = None,
    out: options.OutScores = None,
    protocol: options.Protocol = None,
    columns: options.Columns = None,
    fad_backend: options.FadBackend = None,
    tagger_backend: options.TaggerBackend = None,
    clap_backend: options.ClapBackend = None,
    weights: options.WeightsOption = options.Weights.published,
    unpaired: options.Unpaired = False,
    replace: options.Replace = False,
    sanity: options.Sanity = True,
    seed: options.Seed = 0,
    bootstrap: options.Bootstrap = 1000,
    device: options.OnDevice = None,
    bf16: options.Bf16 = False,
    threads: options.Threads = None,
) -> None:
    """Score a run again, or folders of WAVs paired by file name; then report.

    Example: stabench score --reference recordings --outputs mine=outputs --protocol paper
    """
    from stabench.harness.cli import execute
    from stabench.harness.report.report import report

    backends = {"fad": fad_backend, "tagger": tagger_backend, "clap": clap_backend}
    if run is not None and reference is None and not outputs:
        if any((columns, captions, out, protocol, *backends.values())):
            raise StabenchError("score RUN goes by the run's own suite: leave other options out")
        report(execute.score(run, replace=replace))
    elif run is not None or reference is None or not outputs:
        raise StabenchError("score takes RUN, or --reference DIR with --outputs NAME=DIR")
    else:
        execute.score_wavs(
            *(reference, _parse_folders(outputs), captions, out),
            protocol=protocol,
            backends=backends,
            sanity=sanity,
            columns=_parse_columns(columns),
            hearing=_hearing(device, bf16, threads, weights),
            seed=seed,
            bootstrap=bootstrap,
            unpaired=unpaired,
            replace=replace,
        )


def _hearing(device: Any, bf16: bool, threads: int | None, weights: str) -> Any:
    from stabench.harness.scoring.score import Hearing

    precision = "bfloat16" if bf16 else "float32"
    return Hearing(device or "cpu", precision, threads or os.cpu_count() or 1, str(weights))


def _parse_columns(text: str | None) -> tuple[str, ...] | None:
    """Return the columns of --columns. Raises StabenchError for one that nothing measures."""
    from stabench.harness.suites.metrics import check_metrics

    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    try:
        check_metrics(names)
    except StabenchError as error:
        raise type(error)(f"--columns: {error}") from None
    return names


def _parse_folders(texts: list[str]) -> dict[str, Path]:
    """Return NAME=DIR of each --outputs. Raises StabenchError for another form or a name twice."""
    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise StabenchError(f"--outputs '{text}': expected NAME=DIR, such as star=outputs/star")
        if name in folders:
            raise StabenchError(f"--outputs '{text}': name '{name}' is used twice; rename one")
        folders[name] = Path(path)
    return folders


@app.command("report")
def report_(
    run: options.Run,
    html: options.Html = True,
    sound_mb: options.SoundMb = 24.0,
    sound_from: options.SoundFrom = None,
) -> None:
    """Write the report of a run or of scored folders, report.html too; print it.

    Example: stabench report latest
    """
    from stabench.harness.probing.run_file import find_probe_run
    from stabench.harness.report.report import report

    if probe_run := find_probe_run(run):
        probe_commands.report_probes(probe_run)
        return
    report(run, sound_mb=sound_mb if html else None, sound_from=tuple(sound_from or ()))


@app.command()
def reproduce(
    run: options.MaybeRun = None,
    paper: options.PaperNames = None,
    papers: options.Papers = None,
    strict: options.Strict = False,
    out: options.OutReproduced = None,
) -> None:
    """Set every published figure beside a run's, with a verdict.

    Without RUN: list the published tables or, with --paper, print them.

    Example: stabench reproduce latest
    """
    from stabench.harness.reproduce.paper import FOLDER, choose, read_all
    from stabench.harness.reproduce.published import show_papers
    from stabench.harness.reproduce.reproduce import reproduce_run

    names = paper or []
    if run is not None:
        reproduce_run(run, papers=papers or FOLDER, strict=strict, out=out, names=names)
    elif strict or out:
        raise StabenchError("--strict and --out go with a run: give RUN, or leave them out")
    else:
        show_papers(choose(read_all(papers or FOLDER), names), whole=bool(names))


@app.command("list")
def list_(kind: options.Kind = None, as_json: options.AsJson = False) -> None:
    """List what is registered.

    Example: stabench list systems
    """
    from stabench.harness.cli.list import listing, show

    lists = listing(kind)
    if as_json:
        entries = {name: [entry._asdict() for entry in part] for name, part in lists.items()}
        print(json.dumps(entries, indent=1))
    else:
        show(lists)


@weights_app.command()
def status(as_json: options.AsJson = False) -> None:
    """Which published weights are here and right, and where the others come from.

    Example: stabench weights status
    """
    from stabench.harness.cli import weights

    weights.show(weights.status(), as_json=as_json)


@weights_app.command()
def fetch(names: options.Names = None, everything: options.Everything = False) -> None:
    """Download published weights; each file is checked by its sha256.

    Example: stabench weights fetch vggish cnn14-16k
    """
    from stabench.harness.cli import weights

    weights.fetch(names or [], everything)


@app.command()
def doctor(
    noise: options.Noise = False,
    suite: options.NoiseSuite = "pocket",
    system: options.NoiseSystem = "star",
    limit: options.NoiseLimit = 72,
    judges: options.Judges = False,
    protocol: options.Protocols = None,
    judge: options.Replaced = None,
    gradings: options.Graded = "pocket",
    weights: options.WeightsOption = options.Weights.published,
    device: options.OnDevice = None,
    threads: options.Threads = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what this machine offers and lacks.

    A CLAP whose text tower is broken is found, that of --judge clap=path.py:NAME too.
    --noise: how small a slowdown it can see. --judges: whether the networks behind the scores can
    tell sounds apart; ends with 1 where one cannot, with 3 where weights are missing.

    Example: stabench doctor --judges --protocol paper
    """
    if as_json and (judges or noise):
        raise StabenchError("--json goes with neither --judges nor --noise; leave one out")
    if judges:
        hearing = _hearing(device, False, threads, weights)
        _examine_judges(protocol or ["pocket"], _parse_judges(judge or []), gradings, hearing)
    elif noise:
        from stabench.harness.gate.measure_noise import lines, measure_noise

        findings: Iterable[object] = lines(
            measure_noise(options.RUNS, suite=suite, system=system, clips=limit)
        )
    else:
        from stabench.harness.cli.doctor import examine

        findings = examine(options.RUNS, _parse_judges(judge or []))
        if as_json:
            print(json.dumps([finding._asdict() for finding in findings], indent=1))
            return
    for line in findings:
        print(line)


def _examine_judges(
    protocols: list[str], judges: dict[str, str], gradings: str, hearing: Any
) -> None:
    """Examine judges, print their table, end with the exit code that it calls for."""
    from stabench.harness.cli.doctor import examine_judges, judge_lines
    from stabench.harness.runner.progress import Scoring

    verdicts = examine_judges(protocols, judges, gradings, hearing, Scoring(sys.stderr))
    for line in judge_lines(verdicts):
        print(line)
    raise typer.Exit(verdicts.exit_code)


def _parse_judges(texts: list[str]) -> dict[str, str]:
    """Return ROLE=NAME of each --judge. Raises StabenchError for another form or role."""
    from stabench.metrics.protocol import ROLES

    judges: dict[str, str] = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not (equals and name):
            raise StabenchError(f"--judge '{text}': expected ROLE=NAME, such as fad=vggish")
        if role not in ROLES:
            raise StabenchError(f"--judge '{text}': {unknown('role', role, ROLES)}")
        judges[role] = name
    return judges


for commands in (verdicts, board, extend_commands, explain_command, prepare_command, train_command):
    commands.register(app)


def main() -> int:
    """Run the console script: one line on standard error and an exit code, whatever goes wrong."""
    debug = "--debug" in sys.argv[1:]
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        code = app(arguments, prog_name="stabench", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer makes an exit code of Ctrl-C, and says nothing
            raise KeyboardInterrupt
        return code
    except BaseException as error:
        if debug:
            traceback.print_exc()
        line, code = _explain_ending(error)
        if line:
            # A name in other bytes than UTF-8 is shown as \\udce9, no terminal is steered by one.
            shown = plain(line.encode("utf-8", "backslashreplace").decode())
            print(f"stabench: {shown}", file=sys.stderr)
        return code


def _explain_ending(error: BaseException) -> tuple[str, int]:
    """Return what to print and the exit code to end with."""
    if isinstance(error, StabenchError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted", INTERRUPTED
    # Click's own errors; typer carries a copy of click.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return error.format_message(), error.exit_code
    if isinstance(error, SystemExit):
        # typer and rich end with 1 when the reader of a pipe has gone: that is no regression.
        closed = isinstance(error.__context__, BrokenPipeError)
        return "", CLOSED if closed else int(error.code or 0)
    if isinstance(error, OSError) and error.errno is not None:
        place = f" '{error.filename}'" if error.filename else ""
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "; free some space and start it again, a run with --resume"
        elif error.filename and _is_in_cache(Path(os.fsdecode(error.filename))):
            hint = "; set STABENCH_CACHE to a folder that can be written"
        return f"cannot read or write{place}: {error.strerror}{hint}", 2
    kind = type(error).__name__
    return f"internal fault: {kind}: {error}; run again with --debug for the place", INTERNAL


def _is_in_cache(path: Path) -> bool:
    try:
        return path.is_relative_to(cache_folder())
    except OSError:  # there is none
        return False


if __name__ == "__main__":
    sys.exit(main())
