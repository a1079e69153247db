"""The device of a system: how the clock waits for it, and how much memory it took."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stabench.harness.errors import MissingError, StabenchError

if TYPE_CHECKING:
    from torch.cuda import Event


class Device(Protocol):
    """What the clock and the worker ask of a device."""

    name: str

    def synchronize(self) -> None:
        """Return when everything that was launched has finished."""

    def mark(self) -> object | None:
        """Return a point in the device's stream, or None where there is no stream."""

    def between_ns(self, start: Any, end: Any) -> int | None:
        """Return device time between two marks; valid after a synchronisation."""

    def reset_peak(self) -> None:
        """Begin a new measurement of memory."""

    def peak_bytes(self) -> int | None:
        """Return the most memory in use since, where it is known."""


class Cpu:
    """Work is done when the call returns; memory is the process's largest resident size ever."""

    name = "cpu"

    def synchronize(self) -> None:
        pass

    def mark(self) -> None:
        return None

    def between_ns(self, start: object, end: object) -> None:
        return None

    def reset_peak(self) -> None:
        pass

    def peak_bytes(self) -> int | None:
        """Return VmHWM."""
        # Unlike getrusage it does not count the process that started this one.
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
        return next((int(fields[1]) * 1024 for fields in lines), None)


class Cuda:
    """The current CUDA device; marks are timing events in its current stream."""

    name = "cuda"

    def __init__(self) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingError(f"device 'cuda' needs torch ({error}); install it") from error
        if not torch.cuda.is_available():
            raise StabenchError(
                f"device 'cuda': torch {torch.__version__} sees no GPU; use --device cpu"
            )
        self._cuda = torch.cuda

    def synchronize(self) -> None:
        self._cuda.synchronize()

    def mark(self) -> "Event":
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def between_ns(self, start: "Event", end: "Event") -> int:
        return round(start.elapsed_time(end) * 1e6)

    def reset_peak(self) -> None:
        self._cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        return self._cuda.max_memory_allocated()


def device(name: str) -> Device:
    """Return the device "cpu" or "cuda".

    Torch is imported for CUDA only; StabenchError without a GPU.
    """
    return Cuda() if name == "cuda" else Cpu()


# The GPU that this process was told to see, as "cuda:N": once CUDA is in use it stays that one.
_selected: list[str] = []


def select_gpu(name: str) -> str:
    """Return "cpu" or "cuda" for "cpu", "cuda" or "cuda:N", whose GPU alone is seen from now on.

    N counts as nvidia-smi does, or within CUDA_VISIBLE_DEVICES where that is set. A process has
    one GPU: the same may be asked for again. Raises StabenchError for another text, another GPU,
    one that is not in that list, and where CUDA is in use already.
    """
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise StabenchError(f"device '{name}': expected cpu, cuda or cuda:N, such as cuda:1")
    if not colon or name in _selected:
        return kind
    if _selected:
        raise StabenchError(
            f"device '{name}': this process was told to use '{_selected[0]}', and has one GPU; "
            "start another process"
        )
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise StabenchError(
            f"device '{name}': CUDA is in use in this process, so its GPU cannot be chosen any "
            "more; set CUDA_VISIBLE_DEVICES before Python starts"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible:
        gpus = visible.split(",")
        if int(number) >= len(gpus):
            raise StabenchError(
                f"device '{name}': CUDA_VISIBLE_DEVICES is '{visible}', so cuda:0 to "
                f"cuda:{len(gpus) - 1} can be chosen"
            )
        number = gpus[int(number)]
    else:
        # CUDA counts the fastest first by itself; nvidia-smi, and so this record, by bus.
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    # Workers inherit it, and torch reads it when CUDA is first used.
    os.environ["CUDA_VISIBLE_DEVICES"] = number
    _selected.append(name)
    return kind


def limit_threads(count: int) -> int | None:
    """Hold NumPy's BLAS and torch, when it is in use, to `count` CPU threads; what torch then says.

    A BLAS with as many threads as there are cores is up to fifty times slower on a busy machine.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(count)
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    torch.set_num_threads(count)
    return torch.get_num_threads()
