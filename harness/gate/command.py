"""`stabench gate`: read run, baseline and policy, judge, write gate.md, gate.json, junit.xml."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from stabench.harness import files
from stabench.harness.compare import read_evidence
from stabench.harness.compare.evidence import Evidence
from stabench.harness.compare.verdict import Line
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.gate import policy
from stabench.harness.gate.gate import Check, Counts, Gate, gate
from stabench.harness.gate.interleaved import (
    BASE,
    HEAD,
    Side,
    check,
    interleaved,
    is_interleaved,
    launcher,
    side,
    with_times,
    write_suite,
)
from stabench.harness.gate.noise import NAME as NOISE_NAME
from stabench.harness.gate.noise import read as read_noise
from stabench.harness.gate.page import answer, page, to_junit
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.terminal import show
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RUNS, Request, stamped
from stabench.harness.tasks.task import load_task

SCHEMA = 1
UNKEPT = (read_evidence.UNKEPT, read_evidence.OTHER, read_evidence.NO_TRANSCRIPT)
NOISE = RUNS / NOISE_NAME


class Sides(NamedTuple):
    """What is compared; `counts` of the clips of the new one."""

    old: Evidence
    new: Evidence
    counts: dict[str, Counts]


def gate_run(
    run: Path,
    baseline: Path | None,
    policy_path: Path,
    *,
    out: Path | None = None,
    strict: bool = False,
    noise: Path = NOISE,
    stream: TextIO | None = None,
) -> int:
    """Judge a run, print the page, write three files into the run folder or `out`.

    A run of `interleaved` is judged head against base, its quality against `baseline` where one is
    given. Returns the exit code. Raises MissingError without run, baseline or policy,
    StabenchError for numbers of different provenance.
    """
    rules = policy.load(policy_path)
    results = Results.read(run)
    sides = _sides(results, baseline)
    found = gate(
        sides.old,
        sides.new,
        rules,
        sides.counts,
        noise=read_noise(noise),
        strict=strict,
    )
    _write(out or results.folder, found)
    show(page(found), stream or sys.stdout)
    return found.exit_code


def _sides(results: Results, baseline: Path | None) -> Sides:
    new = read_evidence.of(results)
    counts = _counts(results, new)
    if not is_interleaved(new):
        if baseline is None:
            raise MissingError("the gate needs --baseline FILE, or a run with base and head in it")
        return Sides(read_evidence.read(baseline), new, counts)
    base, head = side(new, BASE), side(new, HEAD)
    old = base if baseline is None else with_times(read_evidence.read(baseline), base)
    own = {name.removesuffix(HEAD): count for name, count in counts.items() if name.endswith(HEAD)}
    return Sides(old, head, own)


def _counts(results: Results, found: Evidence) -> dict[str, Counts]:
    """Clips, whatever their repeats; one whose sound could not be heard has failed too.

    A clip of the journal that lacks a repeat was not run; of scored folders every clip was.
    """
    if results.run is None:
        return {
            name: Counts(one.failed, 0, one.n + one.failed) for name, one in found.systems.items()
        }
    trials = Counter((row.system, row.clip) for row in results.trials)
    clips, repeats = results.run.clips, results.run.suite.protocol.repeats
    return {
        name: Counts(
            sum(trials[name, clip] > 0 for clip in one.failed_clips),
            sum(trials[name, clip.id] < repeats for clip in clips),
            len(clips),
        )
        for name, one in found.systems.items()
    }


def _write(folder: Path, found: Gate) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(folder / "gate.md", to_markdown(page(found)).encode())
    files.write_json(folder / "gate.json", to_json(found))
    files.write_bytes(folder / "junit.xml", to_junit(found))


def to_json(found: Gate) -> dict[str, Any]:
    """Everything of the page for a machine. Times are nanoseconds, their changes ratios."""
    ends = ("systems", "groups", "heads", "schema_version")
    return {
        "schema": SCHEMA,
        "answer": answer(found),
        "exit_code": found.exit_code,
        "strict": found.strict,
        "old": found.old.model_dump(mode="json", exclude=set(ends)),
        "new": found.new.model_dump(mode="json", exclude=set(ends)),
        "checks": [_check(one) for one in found.checks],
        "too_many_failed": list(found.too_many),
        "notes": list(found.notes),
    }


def _check(one: Check) -> dict[str, Any]:
    stages = [_line(stage) for stage in one.stages]
    return {**one._asdict(), "line": one.line and _line(one.line), "stages": stages}


def _line(one: Line) -> dict[str, Any]:
    change = one.change._asdict() if one.change else None
    return {**one._asdict(), "bounds": one.bounds._asdict(), "change": change}


def run_interleaved(
    suite: str,
    base: Side,
    head: Side,
    request: Request,
    runs: Path = RUNS,
    *,
    score: bool = True,
) -> Path:
    """Run a suite with base and head by turns, score it, return the run folder.

    The suite of the run and the scripts that start its workers stay beside it, for --resume.
    Raises MissingError for a side that is not there.
    """
    from stabench.harness.runner import plan
    from stabench.harness.runner.engine import Engine, Interrupted
    from stabench.harness.runner.progress import Scoring, progress_on
    from stabench.harness.suites.suite import load

    chosen = load(suite).selected(request.systems)
    check(base)
    check(head)
    place = runs / stamped(f"gate-{chosen.name}")
    place.mkdir(parents=True)
    starts = [launcher(place, name, one) for name, one in (("base", base), ("head", head))]
    path = place / "suite.toml"
    write_suite(path, interleaved(chosen, *starts))
    folder = plan.begin(str(path), request.model_copy(update={"systems": ()}), runs)
    print(f"run folder: {folder.path}", file=sys.stderr)
    try:
        Engine(folder, progress_on(sys.stderr)).run()
    except Interrupted as error:
        again = f"stabench run {path} --resume {folder.path}"
        raise Interrupted(f"{error}; continue with {again}") from None
    if score:
        from stabench.harness.scoring.score import score_run

        score_run(folder.path, Scoring(sys.stderr), request.device)
    return folder.path


def gate_command(
    run: Path | None,
    policy_path: Path,
    *,
    suite: str | None = None,
    base: Path | None = None,
    base_python: Path | None = None,
    request: Request | None = None,
    baseline: Path | None = None,
    out: Path | None = None,
    strict: bool = False,
    runs: Path = RUNS,
) -> int:
    """`stabench gate RUN --baseline FILE`, or `--suite SUITE --base CHECKOUT` to run both first.

    Returns the exit code. Raises StabenchError for another mixture of options.
    """
    asked = request or Request()
    only_new = suite is None and base is None and base_python is None and asked == Request()
    if run is not None and only_new:
        return gate_run(run, baseline, policy_path, out=out, strict=strict)
    if run is not None or suite is None or base is None:
        raise StabenchError(
            "gate takes RUN with --baseline FILE, or --suite SUITE with --base CHECKOUT, and only "
            "then --base-python, --system, --limit and --device"
        )
    _read_early(policy_path, baseline, suite)
    sides = Side(base, base_python or Path(sys.executable)), Side(SOURCE)
    made = run_interleaved(suite, *sides, asked, runs)
    return gate_run(made, baseline, policy_path, out=out, strict=strict)


def _read_early(policy_path: Path, baseline: Path | None, suite: str) -> None:
    """Complain of what is wrong with these before minutes are spent."""
    from stabench.harness.suites.suite import load

    policy.load(policy_path).latency.guarded(load_task(load(suite).task))
    read_noise(NOISE)
    if baseline is not None:
        read_evidence.read(baseline)


def write_baseline(run: Path, out: Path) -> Evidence:
    """Keep a run as a baseline file. Raises StabenchError for a run with clips not run or failed.

    Raises StabenchError also where no metric has a number, or one has none of its clips: such a
    baseline would guard nothing, or not what its run shows.
    """
    results = Results.read(run)
    found = read_evidence.of(results)
    for name, (failed, unrun, planned) in _counts(results, found).items():
        if failed or unrun:
            raise StabenchError(
                f"system '{name}': {failed} of {planned} clips failed, {unrun} were not run; a "
                "baseline needs all: stabench run SUITE --resume RUN"
            )
    if not any(c.value is not None for s in found.systems.values() for c in s.columns.values()):
        raise StabenchError(f"run '{results.folder}' has no metrics; stabench score RUN")
    for name, system in found.systems.items():
        for column, one in system.columns.items():
            if one.reason in UNKEPT:
                raise StabenchError(f"system '{name}', {column}: {one.reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(out, found.to_bytes())
    return found
