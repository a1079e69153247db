"""`stabench doctor --noise`: run a system against itself, and keep what that says."""

from collections.abc import Iterator
from pathlib import Path

from stabench.harness.compare import read_evidence
from stabench.harness.environment import load_average
from stabench.harness.errors import StabenchError
from stabench.harness.gate import noise
from stabench.harness.gate.command import NOISE, run_interleaved
from stabench.harness.gate.interleaved import BASE, HEAD, Side, take_side
from stabench.harness.gate.noise import Noise, PhaseNoise, measure_phase
from stabench.harness.gate.trees import holds_stabench
from stabench.harness.runner.worker_process import SOURCE
from stabench.harness.runs.journal import timestamp
from stabench.harness.runs.run_folder import Request
from stabench.harness.stats.bootstrap import LEAST_BLOCKS

CLIPS = 72
# The checks of results/baselines/gate.toml, which share one family: 2 systems, 9 tests each.
TESTS = 18


def measure_noise(
    runs: Path,
    *,
    suite: str = "pocket",
    system: str = "star",
    clips: int = CLIPS,
    out: Path = NOISE,
) -> Noise:
    """Run `clips` of an unchanged system twice, interleaved; write and return the machine's noise.

    Raises StabenchError when nothing could be timed.
    """
    # In a checkout of stabench its own tree, elsewhere the user's: systems run as in a gate.
    here = Side(SOURCE if holds_stabench(Path.cwd()) else Path.cwd())
    request = Request(systems=(system,), limit=clips)
    # Noise is of times: scoring would cost minutes and say nothing of them.
    run = read_evidence.read(run_interleaved(suite, here, here, request, runs, score=False))
    base, head = (take_side(run, suffix).systems[system] for suffix in (BASE, HEAD))
    phases: dict[str, PhaseNoise] = {}
    timed = 0
    for phase in run.of_task.phases:
        old, new = (evidence.samples_ns.get(phase.name, {}) for evidence in (base, head))
        # Fewer clips give no blocks from which an interval could be had.
        if (both := len(old.keys() & new.keys())) >= LEAST_BLOCKS:
            phases[phase.column.key] = measure_phase(old, new, tests=TESTS)
            timed = max(timed, both)
    if not phases or run.hardware is None:
        raise StabenchError(
            f"system '{system}': fewer than {LEAST_BLOCKS} clips could be timed twice; see the "
            "run's journal"
        )
    measurement = Noise(
        schema=noise.SCHEMA,
        made_at=timestamp(),
        system=system,
        clips=timed,
        hardware=run.hardware,
        load_average=load_average(),
        phases=phases,
    )
    noise.write(out, measurement)
    return measurement


def lines(noise: Noise) -> Iterator[str]:
    """Return what the doctor says of the noise, a line a phase."""
    for phase, measured in noise.phases.items():
        share, low, high = (
            100 * x for x in (measured.alarms / measured.splits, measured.low, measured.high)
        )
        seen = measured.least_slowdown
        least = f"{100 * seen:.1f} %" if seen is not None else "none up to 200 %"
        yield (
            f"{phase}: threshold {100 * measured.threshold:.1f} %; false alarms {measured.alarms} "
            f"of {measured.splits} ({share:.1f} %, 95 % interval {low:.1f} to {high:.1f} %); "
            f"smallest slowdown found in 90 %: {least} ({noise.clips} clips, {noise.system})"
        )
