"""The profile of a system: what one clip costs beyond time, counted outside the timed clips.

A clip is run three times or more: as it is (memory), under torch's profiler (launches, waits),
where a counter exists in a block (energy), and with every operation counted (FLOPs, bytes).
"""

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from stabench.harness.device import Device
from stabench.harness.errors import one_line
from stabench.harness.profiling import energy
from stabench.harness.profiling.energy import Energy
from stabench.harness.profiling.stages import Stage, Stages
from stabench.harness.profiling.trace import Traffic, trace

NO_TORCH = "the system runs without torch: no operations to count"
T = TypeVar("T")


@dataclass(frozen=True)
class StageCost:
    """One stage of the profiled clip; what was not counted is None.

    `operation_counter.Operations` and `trace.Traffic` say what each counts;
    `operations` to `moved_bytes` are 0 where torch did nothing. `peak_bytes`: CUDA memory
    allocated at most while it ran.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    phase: str
    name: str
    operations: int | None = None
    flops: dict[str, int] | None = None
    read_bytes: int | None = None
    moved_bytes: int | None = None
    launches: int | None = None
    graphs: int | None = None
    kernels: int | None = None
    waits: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Profile:
    """The costs of one system; `failures` says in a line each what could not be counted.

    `eager`: operations were counted with the system's CUDA graphs switched off.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    clip: str | None = None
    stages: tuple[StageCost, ...] = ()
    energy: Energy | None = None
    eager: bool = False
    failures: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether something was counted."""
        return bool(self.stages)


def unprofiled(reason: str, clip: str | None = None) -> Profile:
    """Return the profile of a system that could not be profiled at all."""
    return Profile(clip, failures=(f"not profiled: {reason}",))


class Work:
    """One clip of a loaded system, to be run again and again: its `phases`, the first and others.

    A system may offer `eager()` (systems/contract.py), a context in which it launches operation by
    operation what it otherwise replays as CUDA graphs: a graph's operations cannot be counted.
    Memory, launches, waits and energy are always those of the graphs.
    """

    def __init__(self, system: Any, utterance: Any, seed: int, phases: tuple[str, ...]) -> None:
        self._system = system
        self._utterance = utterance
        self._seed = seed
        self._phases = phases
        self.can_be_eager = hasattr(system, "eager")

    def __call__(self, stages: Stages) -> None:
        first, *later = self._phases
        with stages.phase(first):
            output = getattr(self._system, first)(self._utterance, stages)
        for phase in later:
            with stages.phase(phase):
                (output,) = getattr(self._system, phase)([output], [self._seed], stages)

    def eagerly(self, stages: Stages) -> None:
        with self._system.eager() if self.can_be_eager else nullcontext():
            self(stages)


def profile(clip: str, work: Work, device: Device) -> Profile:
    """Run all passes over one clip. Raises what the system raises when it is run as it is."""
    # First, and not as an attempt: a system that cannot run the clip as it is has no profile.
    peaks = _measure_peaks(work, device)
    # The system has run once by now: without torch it will not begin to use it.
    if "torch" not in sys.modules:
        stages = _merge(peaks, {}, {})
        return Profile(clip, stages, _measure_energy(work, device), failures=(NO_TORCH,))
    failures: list[str] = []
    seen = _attempt(failures, "launches", lambda: trace(work, device)) or {}
    consumption = _attempt(failures, "energy", lambda: _measure_energy(work, device))
    counted = _attempt(failures, "operations", lambda: _count_operations(work, device)) or {}
    unknown: dict[Stage, str] = {}
    for stage, operations in counted.items():
        # Counted only in part, which would look like a small number of FLOPs.
        if operations.opaque:
            unknown[stage] = f"no formula for {', '.join(sorted(operations.opaque))}"
        elif stage in seen and seen[stage].graphs and not work.can_be_eager:
            unknown[stage] = "it replays CUDA graphs, and the system has no eager()"
    failures += [f"FLOPs of {stage.name} not known: {reason}" for stage, reason in unknown.items()]
    stages = _merge(peaks, seen, counted, unknown)
    return Profile(clip, stages, consumption, work.can_be_eager, tuple(failures))


def _attempt(failures: list[str], what: str, count: Callable[[], T]) -> T | None:
    """Return a count, or None and a line why there is none: no profile is worth a run."""
    try:
        return count()
    except Exception as error:
        traceback.print_exception(error)
        failures.append(f"{what} not counted: {one_line(error)}")
        return None


def _measure_peaks(work: Work, device: Device) -> dict[Stage, int | None]:
    """Return each stage's memory; None on a CPU, where only the process's largest is known."""
    peaks: dict[Stage, int | None] = {}

    @contextmanager
    def watch(stage: Stage) -> Iterator[None]:
        # A stage is entered before those within it, and keeps its place in the order.
        peaks[stage] = None
        device.reset_peak()
        yield
        device.synchronize()
        peaks[stage] = None if device.name == "cpu" else device.peak_bytes()

    work(Stages(watch))
    return peaks


def _count_operations(work: Work, device: Device) -> dict[Stage, Any]:
    from stabench.harness.profiling.operation_counter import OperationCounter

    counter = OperationCounter()
    with counter:
        work.eagerly(Stages(counter.stage))
    # So that a failure of what was launched last is this pass's, not the next one's.
    device.synchronize()
    return counter.stages


def _measure_energy(work: Work, device: Device) -> Energy:
    def run() -> None:
        work(Stages(lambda _: nullcontext()))
        # The counter is read when this returns: work that still runs would be of no clip.
        device.synchronize()

    try:
        return energy.measure(energy.find_meter(device.name), run)
    except energy.Unavailable as reason:
        return Energy(reason=str(reason))


def _merge(
    peaks: dict[Stage, int | None],
    seen: dict[Stage, Traffic],
    counted: dict[Stage, Any],
    unknown: Iterable[Stage] = (),
) -> tuple[StageCost, ...]:
    """Return the passes side by side, in the order in which stages began."""
    costs = []
    for stage in dict.fromkeys((*peaks, *seen, *counted)):
        operations = None if stage in unknown else counted.get(stage)
        traffic = seen.get(stage)
        costs.append(
            StageCost(
                phase=stage.phase,
                name=stage.name,
                operations=operations.count if operations else None,
                flops=dict(operations.flops) if operations else None,
                read_bytes=operations.read_bytes if operations else None,
                moved_bytes=operations.moved_bytes if operations else None,
                launches=traffic.launches if traffic else None,
                graphs=traffic.graphs if traffic else None,
                kernels=traffic.kernels if traffic else None,
                waits=traffic.waits if traffic else None,
                peak_bytes=peaks.get(stage),
            )
        )
    return tuple(costs)
