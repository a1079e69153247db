"""`stabench gate`: read run, baseline and policy, judge, write gate.md, gate.json, junit.xml."""

import json
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
from stabench.harness.gate.gate import Counts, Gate, gate
from stabench.harness.gate.interleaved import (
    BASE,
    HEAD,
    Side,
    check_batches,
    check_side,
    interleave,
    interleave_trees,
    is_interleaved,
    replace_times,
    take_side,
    write_launcher,
    write_suite,
)
from stabench.harness.gate.noise import NAME as NOISE_NAME
from stabench.harness.gate.noise import read as read_noise
from stabench.harness.gate.page import build_page, name_answer, to_junit
from stabench.harness.gate.trees import find_trees, holds_stabench, place_systems
from stabench.harness.render.markdown import to_markdown
from stabench.harness.render.terminal import show
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.results import Results
from stabench.harness.runs.run_folder import RUNS, Request, stamped
from stabench.harness.suites.suite import Suite
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
    policy_path: Path | None,
    *,
    out: Path | None = None,
    strict: bool = False,
    noise: Path = NOISE,
    stream: TextIO | None = None,
    as_json: bool = False,
) -> int:
    """Judge a run, print the page, write three files into the run folder or `out`.

    `as_json` prints what gate.json holds. Without a policy all is guarded that the baseline has.

    In an interleaved run head is judged against base, and its quality against `baseline` where one
    is given. Return the exit code. Raises MissingError without run, baseline or policy,
    StabenchError for numbers of different provenance.
    """
    results = Results.read(run)
    sides = _read_sides(results, baseline)
    if policy_path is None:
        rules = policy.derive(sides.old)
    else:
        rules = policy.load(policy_path, {**sides.old.heads, **sides.new.heads})
    outcome = gate(
        sides.old,
        sides.new,
        rules,
        sides.counts,
        noise=read_noise(noise),
        strict=strict,
    )
    folder, shown = out or results.folder, build_page(outcome)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_bytes(folder / "gate.md", to_markdown(shown).encode())
    files.write_json(folder / "gate.json", to_json(outcome))
    files.write_bytes(folder / "junit.xml", to_junit(outcome))
    if as_json:
        print(json.dumps(to_json(outcome), indent=1), file=stream or sys.stdout)
    else:
        show(shown, stream or sys.stdout)
    return outcome.exit_code


def _read_sides(results: Results, baseline: Path | None) -> Sides:
    """Return what is compared. Raises MissingError for a run without a base and no baseline."""
    new = read_evidence.build_evidence(results)
    counts = _count_clips(results, new)
    if not is_interleaved(new):
        if baseline is None:
            raise MissingError("the gate needs --baseline FILE, or a run with base and head in it")
        return Sides(read_evidence.read(baseline), new, counts)
    base, head = take_side(new, BASE), take_side(new, HEAD)
    old = base if baseline is None else replace_times(read_evidence.read(baseline), base)
    counts_of_head = {
        name.removesuffix(HEAD): count for name, count in counts.items() if name.endswith(HEAD)
    }
    return Sides(old, head, counts_of_head)


def _count_clips(results: Results, evidence: Evidence) -> dict[str, Counts]:
    """Count clips, whatever their repeats; one whose sound could not be heard has failed too."""
    if results.run is None:
        return {
            name: Counts(system.failed, 0, system.n + system.failed)
            for name, system in evidence.systems.items()
        }
    trials = Counter((row.system, row.clip) for row in results.trials)
    clips, repeats = results.run.clips, results.run.suite.run.repeats
    return {
        name: Counts(
            sum(trials[name, clip] > 0 for clip in system.failed_clips),
            # A clip that lacks a repeat was not run; of scored folders every clip was.
            sum(trials[name, clip.id] < repeats for clip in clips),
            len(clips),
        )
        for name, system in evidence.systems.items()
    }


def to_json(outcome: Gate) -> dict[str, Any]:
    """Return what gate.json holds. Times are nanoseconds, their changes ratios."""
    # The checks say what the systems hold; a run itself keeps the rest.
    left_out = {"systems", "groups", "heads", "schema_version"}
    checks = [
        {
            **check._asdict(),
            "line": check.line and _line_to_json(check.line),
            "stages": [_line_to_json(stage) for stage in check.stages],
        }
        for check in outcome.checks
    ]
    return {
        "schema": SCHEMA,
        "answer": name_answer(outcome),
        "exit_code": outcome.exit_code,
        "strict": outcome.strict,
        "old": outcome.old.model_dump(mode="json", exclude=left_out),
        "new": outcome.new.model_dump(mode="json", exclude=left_out),
        "checks": checks,
        "too_many_failed": list(outcome.too_many),
        "notes": list(outcome.notes),
    }


def _line_to_json(line: Line) -> dict[str, Any]:
    change = line.change._asdict() if line.change else None
    return {**line._asdict(), "bounds": line.bounds._asdict(), "change": change}


def run_interleaved(
    suite: str,
    base: Side,
    head: Side,
    request: Request,
    runs: Path = RUNS,
    *,
    score: bool = True,
) -> Path:
    """Run a suite with base and head interleaved, score it, return the run folder.

    Checkouts of stabench run their own stabench, other trees the systems that they hold. The suite
    of the run and the scripts that start its workers stay beside it, for --resume. Raises
    MissingError for a side that is not there.
    """
    from stabench.harness.runner import plan
    from stabench.harness.runner.engine import Engine
    from stabench.harness.runner.progress import Scoring, progress_on
    from stabench.harness.suites.select import select_systems, set_keys
    from stabench.harness.suites.suite import load

    chosen = set_keys(select_systems(load(suite), request.systems), request.set)
    place = runs / stamped(f"gate-{chosen.name}")
    both = _interleave_sides(suite, chosen, (base, head), request, place)
    path = place / "suite.toml"
    write_suite(path, both)
    # The suite as written has the chosen systems only, under names that --system would not match.
    folder = plan.begin(str(path), request.model_copy(update={"systems": (), "set": ()}), runs)
    print(f"run folder: {folder.path}", file=sys.stderr)
    Engine(folder, progress_on(sys.stderr)).run()
    if score:
        from stabench.harness.scoring.score import score_run

        score_run(folder.path, Scoring(sys.stderr), request.device)
    return folder.path


def _interleave_sides(
    name: str, suite: Suite, sides: tuple[Side, Side], request: Request, place: Path
) -> Suite:
    """Return the suite `name` with base and head interleaved; write their launchers into `place`.

    That is made last: a run that cannot begin leaves none behind.
    """
    check_batches(suite)
    base, head = sides
    if holds_stabench(base.checkout):
        check_side(base)
        check_side(head)
        place.mkdir(parents=True)
        return interleave(suite, *map(write_launcher, (place, place), ("base", "head"), sides))
    trees = find_trees(base.checkout, head.checkout)
    pairs = place_systems(name, suite, request, trees, (str(base.python), str(head.python)))
    print(f"base: {trees.base.folder}; head: {trees.head.folder}", file=sys.stderr)
    place.mkdir(parents=True)
    return interleave_trees(suite, pairs, place)


def gate_command(
    run: Path | None,
    policy_path: Path | None,
    *,
    suite: str | None = None,
    base: Path | None = None,
    base_python: Path | None = None,
    request: Request | None = None,
    baseline: Path | None = None,
    out: Path | None = None,
    strict: bool = False,
    as_json: bool = False,
    runs: Path = RUNS,
) -> int:
    """Run `stabench gate RUN --baseline FILE`, or with `--suite SUITE --base TREE` both first.

    Return the exit code. Raises StabenchError for another mixture of options.
    """
    from stabench.harness.suites.metrics import load_metrics
    from stabench.harness.suites.suite import load

    wanted = request or Request()
    only_new = suite is None and base is None and base_python is None and wanted == Request()
    if run is not None and only_new:
        return gate_run(run, baseline, policy_path, out=out, strict=strict, as_json=as_json)
    if run is not None or suite is None or base is None:
        raise StabenchError(
            "gate takes RUN with --baseline FILE, or --suite SUITE with --base TREE, and only "
            "then --base-python, --system, --limit and --device"
        )
    # What is wrong with these would otherwise show only after the minutes of a run.
    chosen = load(suite)
    measured = load_metrics(chosen.metrics.columns, chosen.task).names
    if policy_path is not None:
        policy.load(policy_path, measured).latency.guarded(load_task(chosen.task))
    read_noise(NOISE)
    if baseline is not None:
        read_evidence.read(baseline)
    here = SOURCE if holds_stabench(base) else Path.cwd()
    sides = Side(base, Path(base_python or sys.executable)), Side(here)
    folder = run_interleaved(suite, *sides, wanted, runs)
    return gate_run(folder, baseline, policy_path, out=out, strict=strict, as_json=as_json)


def write_baseline(run: Path, out: Path | None) -> Evidence:
    """Keep a run as a baseline file; without `out` only check that it can be one.

    Raises StabenchError for a run with clips not run or failed.

    Raises StabenchError also where no metric has a number, or one has none of its clips: such a
    baseline would guard nothing, or not what its run shows.
    """
    results = Results.read(run)
    evidence = read_evidence.build_evidence(results)
    for name, (failed, unrun, planned) in _count_clips(results, evidence).items():
        if failed or unrun:
            raise StabenchError(
                f"system '{name}': {failed} of {planned} clips failed, {unrun} were not run; a "
                "baseline needs all: stabench run SUITE --resume RUN"
            )
    if not any(c.value is not None for s in evidence.systems.values() for c in s.columns.values()):
        raise StabenchError(f"run '{results.folder}' has no metrics; stabench score RUN")
    for name, system in evidence.systems.items():
        for column, cell in system.columns.items():
            if cell.reason in UNKEPT:
                raise StabenchError(f"system '{name}', {column}: {cell.reason}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out, evidence.to_bytes())
    return evidence
