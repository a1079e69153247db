"""`stabench doctor --noise`: run a system against itself, and keep what that says."""

from collections.abc import Iterator
from pathlib import Path

from stabench.harness.compare import read_evidence
from stabench.harness.environment import load_average
from stabench.harness.errors import StabenchError
from stabench.harness.gate import noise
from stabench.harness.gate.command import NOISE, run_interleaved
from stabench.harness.gate.interleaved import BASE, HEAD, Side, side
from stabench.harness.gate.noise import Noise, PhaseNoise, measured
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.journal import timestamp
from stabench.harness.runs.run_folder import Request
from stabench.harness.stats.bootstrap import LEAST_BLOCKS

CLIPS = 72
TESTS = 18
"""The checks of results/baselines/gate.toml, which share one family: 2 systems, 9 tests each."""


def measure_noise(
    runs: Path,
    *,
    suite: str = "pocket",
    system: str = "star",
    clips: int = CLIPS,
    out: Path = NOISE,
) -> Noise:
    """Run `clips` of a system twice by turns, unchanged; write and return the machine's noise.

    Raises StabenchError when nothing could be timed.
    """
    here = Side(SOURCE)
    request = Request(systems=(system,), limit=clips)
    run = read_evidence.read(run_interleaved(suite, here, here, request, runs, score=False))
    base, head = (side(run, suffix).systems[system] for suffix in (BASE, HEAD))
    phases: dict[str, PhaseNoise] = {}
    timed = 0
    for phase in run.of_task.phases:
        old, new = (one.samples_ns.get(phase.name, {}) for one in (base, head))
        if (both := len(old.keys() & new.keys())) >= LEAST_BLOCKS:
            phases[phase.column.key] = measured(old, new, tests=TESTS)
            timed = max(timed, both)
    if not phases or run.hardware is None:
        raise StabenchError(
            f"system '{system}': fewer than {LEAST_BLOCKS} clips could be timed twice; see the "
            "run's journal"
        )
    found = Noise(
        schema=noise.SCHEMA,
        made_at=timestamp(),
        system=system,
        clips=timed,
        hardware=run.hardware,
        load_average=load_average(),
        phases=phases,
    )
    noise.write(out, found)
    return found


def lines(found: Noise) -> Iterator[str]:
    """What the doctor says of it, a line a phase."""
    for phase, one in found.phases.items():
        share, low, high = (100 * x for x in (one.alarms / one.splits, one.low, one.high))
        seen = one.least_slowdown
        least = f"{100 * seen:.1f} %" if seen is not None else "none up to 200 %"
        yield (
            f"{phase}: threshold {100 * one.threshold:.1f} %; false alarms {one.alarms} of "
            f"{one.splits} ({share:.1f} %, 95 % interval {low:.1f} to {high:.1f} %); smallest "
            f"slowdown found in 90 %: {least} ({found.clips} clips, {found.system})"
        )
