"""The trace of a pass: launches, kernels and waits of each stage, as torch's profiler saw them."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from stabench.harness.device import Device
from stabench.harness.profiling.stages import Stage, Stages

MARK = "stabench/"
WAIT = MARK + "wait"
# How calls of the CUDA runtime ("cuda...") and of the driver below it ("cu...") begin.
LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cuGraphLaunch")
GRAPHS = ("cudaGraphLaunch", "cuGraphLaunch")
WAITS = (
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "cuStreamSynchronize",
    "cuCtxSynchronize",
    "cuEventSynchronize",
)
# These wait by themselves; their asynchronous forms have other names.
BLOCKING = ("cudaMemcpy", "cudaMemset")
# On a CPU nothing waits; reading one value into Python is what would make a GPU's host wait.
READ = "aten::_local_scalar_dense"
# What the profiler reports of the device and is no kernel: copies, fills and waits.
NO_KERNEL = ("Memcpy", "Memset", "Stream Wait", "Stream Sync", "Event Sync", "Context Sync")


class Event(NamedTuple):
    """One event of the profiler; `on_device` for work of the GPU, else a call of the host."""

    name: str
    start_ns: int
    end_ns: int
    on_device: bool = False


@dataclass
class Traffic:
    """What passed between host and device in one stage; launches are None on a CPU.

    `launches`: calls that start kernels, a whole CUDA graph being one, of which there are
    `graphs`. `kernels`: what then ran on the device, copies not counted. `waits`: calls in which
    the host waited for the device.
    """

    launches: int | None
    graphs: int | None
    kernels: int | None
    waits: int


def trace(work: Callable[[Stages], None], device: Device) -> dict[Stage, Traffic]:
    """Run `work` once under torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    on_cuda = device.name == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_cuda
    device.synchronize()
    with profile(activities=activities) as profiler:
        work(Stages(_mark_stages(device)))
    # Its public list of events takes minutes to build for a million of them.
    raw = profiler.profiler.kineto_results.events()
    events = (
        Event(event.name(), event.start_ns(), event.end_ns(), event.device_type().name != "CPU")
        for event in raw
    )
    return count_traffic(events, on_cuda)


def _mark_stages(device: Device) -> Callable[[Stage], Any]:
    """Return a Watch that writes the stages into the trace, each with a wait of ours at its end."""
    from torch.profiler import record_function

    @contextmanager
    def mark(stage: Stage) -> Iterator[None]:
        with record_function(f"{MARK}{stage.phase}/{stage.name}"):
            yield
            with record_function(WAIT):
                device.synchronize()

    return mark


def count_traffic(events: Iterable[Event], on_cuda: bool) -> dict[Stage, Traffic]:
    """Count the events by stage: each belongs to the stage in which it started.

    The device is idle when a stage ends, so that this holds for its kernels too.
    """
    events = list(events)
    marks = [event for event in events if event.name.startswith(MARK) and not event.on_device]
    timeline = Timeline([mark for mark in marks if mark.name != WAIT])
    ours = Timeline([mark for mark in marks if mark.name == WAIT])
    # On a CPU nothing is launched; 0 would say that it was counted.
    none = 0 if on_cuda else None
    counts = {stage: Traffic(none, none, none, 0) for stage in timeline.list_stages()}
    for event in events:
        stage = timeline.find(event.start_ns)
        if stage is None or event.name.startswith(MARK):
            continue
        # The waits at the ends of stages are the harness's, not the system's.
        if event.on_device or ours.find(event.start_ns) is None:
            _add_event(counts[stage], event, on_cuda)
    return counts


def _add_event(counts: Traffic, event: Event, on_cuda: bool) -> None:
    name = event.name
    if not on_cuda:
        counts.waits += name == READ
    elif event.on_device:
        counts.kernels = (counts.kernels or 0) + (not name.startswith(NO_KERNEL))
    else:
        counts.launches = (counts.launches or 0) + name.startswith(LAUNCHES)
        counts.graphs = (counts.graphs or 0) + name.startswith(GRAPHS)
        counts.waits += name.startswith(WAITS) or name in BLOCKING


class Timeline:
    """Which mark is the innermost at a time; marks of one kind nest or lie side by side."""

    def __init__(self, marks: list[Event]) -> None:
        self._times: list[int] = []
        self._stages: list[Stage | None] = []
        around: list[Event] = []
        # Of marks that begin together the longer one is around the other.
        for mark in sorted(marks, key=lambda mark: (mark.start_ns, -mark.end_ns)):
            self._close(around, mark.start_ns)
            self._switch(mark.start_ns, mark)
            around.append(mark)
        self._close(around, None)

    def _close(self, around: list[Event], until_ns: int | None) -> None:
        """End the marks that are over, giving the time after them to the one around."""
        while around and (until_ns is None or around[-1].end_ns <= until_ns):
            ended = around.pop()
            self._switch(ended.end_ns, around[-1] if around else None)

    def _switch(self, time_ns: int, mark: Event | None) -> None:
        self._times.append(time_ns)
        if mark is None:
            self._stages.append(None)
        else:
            phase, _, name = mark.name.removeprefix(MARK).partition("/")
            self._stages.append(Stage(phase, name))

    def find(self, time_ns: int) -> Stage | None:
        """Return the stage that runs at a time, or None."""
        index = bisect_right(self._times, time_ns) - 1
        return self._stages[index] if index >= 0 else None

    def list_stages(self) -> list[Stage]:
        """Return every stage once, in the order of time."""
        return list(dict.fromkeys(stage for stage in self._stages if stage))
