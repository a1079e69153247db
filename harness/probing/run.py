"""Run a suite of probes: each in a process of its own, what is missing alone, then the figures."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness import environment
from stabench.harness.device import device
from stabench.harness.environment import START
from stabench.harness.errors import StabenchError, TooManyFailures
from stabench.harness.formatting import counted, figure
from stabench.harness.probing.figures import make_figures
from stabench.harness.probing.probe import read_recipe
from stabench.harness.probing.run_file import ProbeRecord, ProbeRun, Request, RunRecord
from stabench.harness.runs.journal import timestamp
from stabench.harness.schema import Strict
from stabench.harness.suites import probes
from stabench.harness.suites.probes import ProbeSuite
from stabench.harness.suites.suite import difference

POLL_S = 0.2
# Characters of a log's last line that stand for an error that nobody could write down.
LAST_WORDS = 200


class Unit(NamedTuple):
    """One probe to run."""

    encoder: str
    bridge: probes.Bridge

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"{self.encoder}, {self.bridge}"


def begin(
    name: str, encoders: Sequence[str], assignments: Sequence[str], request: Request, runs: Path
) -> ProbeRun:
    """Make a new run folder for a suite. Raises StabenchError, MissingError."""
    suite = probes.set_keys(probes.select_encoders(probes.load(name), encoders), assignments)
    _check(suite, request)
    record = RunRecord(
        probes=suite,
        request=request,
        environment=environment.record(suite.probes.threads),
        started_at=timestamp(),
    )
    return ProbeRun.create(runs, record)


def resume(run: ProbeRun, name: str | None, request: Request) -> ProbeRun:
    """Take up the same run again; `name` and the device, where given, must be the run's.

    Raises StabenchError with the first key in which they differ.
    """
    record = run.record
    pairs: list[tuple[str, Strict, Strict]] = [("option", record.request, request)]
    if name is not None:
        chosen = probes.select_encoders(
            probes.load(name), [use.name for use in record.probes.encoders]
        )
        pairs.append(("suite", record.probes, chosen))
    for what, then, now in pairs:
        before, after = (part.model_dump(mode="json", by_alias=True) for part in (then, now))
        if changed := difference(before, after):
            raise StabenchError(
                f"run '{run.path}' cannot be resumed: {what} key {changed}; start a new run"
            )
    _check(record.probes, record.request)
    return run


def _check(suite: ProbeSuite, request: Request) -> None:
    """Raise for names, recipes and a device that are wrong, before a folder is made."""
    suite.check_names()
    for bridge in suite.probes.bridges:
        read_recipe(suite.recipe, bridge, suite.probes.seed)
    device(request.device)


def execute(run: ProbeRun) -> None:
    """Train what has no result yet, or failed, then make the figures; progress on standard error.

    Raises StabenchError where no probe gave a result.
    """
    print(f"run folder: {run.path}", file=sys.stderr)
    units = _list_units(run)
    kept = [run.read_probe(*unit) for unit in units]
    missing = [unit for unit, probe in zip(units, kept, strict=True) if not probe or probe.error]
    done = f", {len(units) - len(missing)} kept from before" if len(missing) < len(units) else ""
    print(f"{counted(len(missing), 'probe')} to train{done}", file=sys.stderr, flush=True)
    _run_all(run, missing)
    failed = _list_failed(run)
    if len(failed) == len(units):
        raise StabenchError(f"every probe failed; the first: {failed[0].error}")
    make_figures(run)
    run.write(run.record.model_copy(update={"finished_at": timestamp()}))


def check_failures(run: ProbeRun) -> None:
    """Raise TooManyFailures where a probe of a run failed, naming the first and how to go on."""
    if failed := _list_failed(run):
        first = failed[0]
        raise TooManyFailures(
            f"{len(failed)} of {counted(len(_list_units(run)), 'probe')} failed (first: "
            f"{first.encoder}, {first.bridge}: {first.error}); stabench run --resume '{run.path}'"
        )


def _list_units(run: ProbeRun) -> list[Unit]:
    suite = run.record.probes
    # By bridge: the second probe of an encoder finds the frames that the first one made.
    return [Unit(use.name, bridge) for bridge, use in product(suite.probes.bridges, suite.encoders)]


def _list_failed(run: ProbeRun) -> list[ProbeRecord]:
    probes_run = [run.read_probe(*unit) for unit in _list_units(run)]
    return [probe for probe in probes_run if probe and probe.error]


class _Running(NamedTuple):
    unit: Unit
    process: subprocess.Popen
    began: float


def _run_all(run: ProbeRun, waiting: list[Unit]) -> None:
    """Run units, some at a time on a CPU, one after the other on a GPU."""
    record = run.record
    settings = record.probes.probes
    at_once = settings.at_once if record.request.device == "cpu" else 1
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                unit = waiting.pop(0)
                running.append(_Running(unit, _start(run, unit), time.monotonic()))
            time.sleep(POLL_S)
            for each in list(running):
                if each.process.poll() is None:
                    if time.monotonic() - each.began < settings.timeout_s:
                        continue
                    _end(each.process)
                    _keep_failure(run, each, f"no end after {settings.timeout_s:g} s (timeout_s)")
                running.remove(each)
                _end(each.process)
                _tell(run, each)
    finally:
        # After Ctrl-C, too.
        for each in running:
            _end(each.process)


def _end(process: subprocess.Popen) -> None:
    """Kill a process that still runs, and close its pipe."""
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def _start(run: ProbeRun, unit: Unit) -> subprocess.Popen:
    threads = str(run.record.probes.probes.threads)
    command = [sys.executable, str(START), "stabench.harness.probing.probe"]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    # The error of an earlier attempt must not pass for that of this one.
    run.probe_path(*unit).unlink(missing_ok=True)
    with run.log_path(*unit).open("ab") as log:
        return subprocess.Popen(
            [*command, str(run.path.resolve()), *unit],
            # It closes when this process dies, even by a kill, and the probe ends with it.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **limits},
        )


def _tell(run: ProbeRun, ended: _Running) -> None:
    """Say how a probe ended; one that left no record is kept with its last words."""
    probe = run.read_probe(*ended.unit)
    if ended.process.returncode and (probe is None or not probe.error):
        lines = run.log_path(*ended.unit).read_text("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "no message")
        words = last.strip()[:LAST_WORDS]
        _keep_failure(run, ended, f"its process ended with {ended.process.returncode}: {words}")
        probe = run.read_probe(*ended.unit)
    seconds = time.monotonic() - ended.began
    if probe is None or probe.error:
        text = f"failed: {probe.error if probe else 'no result'}"
    else:
        text = f"mAP {figure(probe.validation or 0.0, 3)} on validation"
    print(f"{ended.unit.name}: {text} ({seconds:.0f} s)", file=sys.stderr, flush=True)


def _keep_failure(run: ProbeRun, ended: _Running, error: str) -> None:
    unit = ended.unit
    values: dict[str, Any] = {"encoder": unit.encoder, "bridge": unit.bridge, "error": error}
    run.write_probe(ProbeRecord(**values))
