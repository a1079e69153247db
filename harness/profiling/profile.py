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
        """Whether there is something to show."""
        return bool(self.stages)


def unprofiled(reason: str, clip: str | None = None) -> Profile:
    """The profile of a system that could not be profiled at all."""
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
    """All passes over one clip. Raises what the system raises when it is run as it is."""
    peaks = _peaks(work, device)
    if "torch" not in sys.modules:
        return Profile(clip, _merged(peaks, {}, {}), _energy(work, device), failures=(NO_TORCH,))
    failures: list[str] = []
    seen = _attempted(failures, "launches", lambda: trace(work, device)) or {}
    found = _attempted(failures, "energy", lambda: _energy(work, device))
    counted = _attempted(failures, "operations", lambda: _operations(work, device)) or {}
    unknown = dict(_unknown(seen, counted, work.can_be_eager))
    failures += [f"FLOPs of {stage.name} not known: {reason}" for stage, reason in unknown.items()]
    stages = _merged(peaks, seen, counted, unknown)
    return Profile(clip, stages, found, work.can_be_eager, tuple(failures))


def _attempted(failures: list[str], what: str, count: Callable[[], T]) -> T | None:
    """A count, or None and a line why there is none: no profile is worth a run."""
    try:
        return count()
    except Exception as error:
        traceback.print_exception(error)
        failures.append(f"{what} not counted: {one_line(error)}")
        return None


def _peaks(work: Work, device: Device) -> dict[Stage, int | None]:
    """Memory of each stage, None on a CPU, where only the process's largest ever is known."""
    found: dict[Stage, int | None] = {}

    @contextmanager
    def watch(stage: Stage) -> Iterator[None]:
        found[stage] = None
        device.reset_peak()
        yield
        device.synchronize()
        found[stage] = None if device.name == "cpu" else device.peak_bytes()

    work(Stages(watch))
    return found


def _operations(work: Work, device: Device) -> dict[Stage, Any]:
    from stabench.harness.profiling.operation_counter import OperationCounter

    counter = OperationCounter()
    with counter:
        work.eagerly(Stages(counter.stage))
    device.synchronize()
    return counter.stages


def _energy(work: Work, device: Device) -> Energy:
    def run() -> None:
        work(Stages(lambda _: nullcontext()))
        device.synchronize()

    try:
        return energy.measure(energy.meter_of(device.name), run)
    except energy.Unavailable as reason:
        return Energy(reason=str(reason))


def _unknown(
    seen: dict[Stage, Traffic], counted: dict[Stage, Any], eager: bool
) -> Iterator[tuple[Stage, str]]:
    """The stages of which operations were counted only in part, and why."""
    for stage, operations in counted.items():
        if operations.opaque:
            yield stage, f"no formula for {', '.join(sorted(operations.opaque))}"
        elif stage in seen and seen[stage].graphs and not eager:
            yield stage, "it replays CUDA graphs, and the system has no eager()"


def _merged(
    peaks: dict[Stage, int | None],
    seen: dict[Stage, Traffic],
    counted: dict[Stage, Any],
    unknown: Iterable[Stage] = (),
) -> tuple[StageCost, ...]:
    """The passes side by side, in the order in which stages began."""
    return tuple(
        StageCost(
            phase=stage.phase,
            name=stage.name,
            **_counts(None if stage in unknown else counted.get(stage)),
            **(vars(seen[stage]) if stage in seen else {}),
            peak_bytes=peaks.get(stage),
        )
        for stage in dict.fromkeys((*peaks, *seen, *counted))
    )


def _counts(operations: Any) -> dict[str, Any]:
    if operations is None:
        return {}
    return {
        "operations": operations.count,
        "flops": dict(operations.flops),
        "read_bytes": operations.read_bytes,
        "moved_bytes": operations.moved_bytes,
    }
