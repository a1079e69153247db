"""The clock: wall time of a phase and of the stages inside it, and device time on a GPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stabench.harness.device import Device
from stabench.harness.runs.journal import Span


class Clock:
    """Times phases and, as the `spans` handed to a system, the stages inside them.

    A stage ends when the device has finished it, so that wall times add up; mark stages, not
    steps of a loop. Stages follow one another (a nested one raises RuntimeError); a name used
    twice in a phase is one stage, its times added. `phase_ns` and `spans` hold the results; what
    no stage claimed is the difference.
    """

    def __init__(self, device: Device, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._device = device
        self._now = now
        self._phase: str | None = None
        self._stage: str | None = None
        self._stages: dict[str, Span] = {}
        self._start_ns = 0
        self.reset()

    def reset(self) -> None:
        """Forget the last clip."""
        self.phase_ns: dict[str, int] = {}
        self.spans: list[Span] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time one phase between two synchronisations; one that raises leaves no times."""
        self._phase, self._stage, self._stages = name, None, {}
        # What the device still has to do is of the phase before.
        self._device.synchronize()
        start_ns = self._start_ns = self._now()
        try:
            yield
            # A GPU runs behind the host: without this wait its work would count for nobody.
            self._device.synchronize()
            self.phase_ns[name] = self._now() - start_ns
        finally:
            self._phase = None
        self.spans += self._stages.values()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one stage of the running phase. Raises RuntimeError when used out of place."""
        phase = self._check_place(name)
        self._stage = name
        start_ns, start = self._now(), self._device.mark()
        try:
            yield
            # Marked before the wait, which is no work of the device.
            end = self._device.mark()
            self._device.synchronize()
            wall_ns = self._now() - start_ns
        finally:
            self._stage = None
        device_ns = self._device.between_ns(start, end)
        earlier = self._stages.get(name)
        if earlier is not None:
            wall_ns += earlier.wall_ns
            device_ns = None if device_ns is None else device_ns + (earlier.device_ns or 0)
        self._stages[name] = Span(phase, name, wall_ns, device_ns)

    def add(self, name: str, wall_ns: int) -> None:
        """Add a stage of the running phase that was timed by whoever ran it, another process.

        Raises RuntimeError when used out of place, ValueError when the stages do not fit into the
        time that the phase has taken so far.
        """
        phase = self._check_place(name)
        passed_ns = self._now() - self._start_ns
        claimed_ns = wall_ns + sum(span.wall_ns for span in self._stages.values())
        if wall_ns < 0 or claimed_ns > passed_ns:
            raise ValueError(
                f"stage '{name}' of {wall_ns} ns: stages of {claimed_ns} ns in {passed_ns} ns"
            )
        earlier = self._stages.get(name)
        wall_ns += earlier.wall_ns if earlier else 0
        self._stages[name] = Span(phase, name, wall_ns)

    def _check_place(self, name: str) -> str:
        if self._phase is None:
            raise RuntimeError(f"stage '{name}' is outside represent and generate; move it inside")
        if self._stage is not None:
            raise RuntimeError(
                f"stage '{name}' is inside stage '{self._stage}'; close the outer one first"
            )
        return self._phase
