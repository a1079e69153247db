"""`stabench doctor --noise`: run a system against itself, and keep what that says."""

from collections.abc import Iterator
from pathlib import Path

from harness.blocks import LEAST_BLOCKS
from harness.environment import load_average
from harness.errors import StabenchError
from harness.journal import timestamp
from harness.run_folder import Request
from harness.table import TIMINGS
from harness.verdicts import evidence, noise_record
from harness.verdicts.gate_run import NOISE, run_interleaved
from harness.verdicts.interleaved import BASE, HEAD, Side, side
from harness.verdicts.noise import measured
from harness.verdicts.noise_record import Noise, PhaseNoise
from harness.worker_process import SOURCE

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
    run = evidence.read(run_interleaved(suite, here, here, request, runs, score=False))
    base, head = (side(run, suffix).systems[system] for suffix in (BASE, HEAD))
    phases: dict[str, PhaseNoise] = {}
    timed = 0
    for timing in TIMINGS:
        old, new = (one.samples_ns.get(timing.phase, {}) for one in (base, head))
        if (both := len(old.keys() & new.keys())) >= LEAST_BLOCKS:
            phases[timing.column.key] = measured(old, new, tests=TESTS)
            timed = max(timed, both)
    if not phases or run.hardware is None:
        raise StabenchError(
            f"system '{system}': fewer than {LEAST_BLOCKS} clips could be timed twice; see the "
            "run's journal"
        )
    found = Noise(
        schema=noise_record.SCHEMA,
        made_at=timestamp(),
        system=system,
        clips=timed,
        hardware=run.hardware,
        load_average=load_average(),
        phases=phases,
    )
    noise_record.write(out, found)
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
