"""Energy of a clip, by the counter of an NVIDIA GPU (NVML), the idle share taken off."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

LIBRARY = "libnvidia-ml.so.1"
# Waited before the idle power is measured, and measured for so long.
QUIET_S = 1.0
# Clips run for at least so long: the counter moves only some ten times a second.
BLOCK_S = 5.0
LEAST_CLIPS = 3
NO_COUNTER = "a CPU has no energy counter that the harness reads"


class Unavailable(Exception):
    """There is no counter, and why; one line."""


class Meter(Protocol):
    """A counter of energy."""

    def read_mj(self) -> int:
        """Return the energy since the driver was loaded, millijoules. Raises Unavailable."""


@dataclass(frozen=True)
class Energy:
    """Joules of one clip beyond what the idle GPU takes; or why they are not known.

    `clips` were run for `wall_s`, in which the whole GPU took `total_j`; `idle_w` is its power in
    the quiet second before, with the system's weights loaded.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    clip_j: float | None = None
    idle_w: float | None = None
    total_j: float | None = None
    wall_s: float | None = None
    clips: int = 0
    reason: str | None = None


def measure(
    meter: Meter,
    run: Callable[[], None],
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy:
    """Return the energy of `run`, which returns when the device has finished one clip."""
    # The clock falls for a while after the last clip.
    sleep(QUIET_S)
    start_mj, start_s = meter.read_mj(), now()
    sleep(QUIET_S)
    idle_w = (meter.read_mj() - start_mj) / 1e3 / (now() - start_s)
    start_mj, start_s, clips = meter.read_mj(), now(), 0
    while clips < LEAST_CLIPS or now() - start_s < BLOCK_S:
        run()
        clips += 1
    wall_s, total_j = now() - start_s, (meter.read_mj() - start_mj) / 1e3
    return Energy((total_j - idle_w * wall_s) / clips, idle_w, total_j, wall_s, clips)


class Nvml:
    """The energy counter of the GPU with this UUID ("GPU-..."). Raises Unavailable without one.

    `library` stands in for the driver's own, which is looked up by name.
    """

    def __init__(self, uuid: str, library: Any = None) -> None:
        self._library = _load_library() if library is None else library
        self._device = ctypes.c_void_p()
        self._call("nvmlInit_v2")
        handle = ctypes.byref(self._device)
        self._call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid.encode()), handle)
        # Asked once now: older GPUs have no such counter, and must not fail in the middle.
        self.read_mj()

    def read_mj(self) -> int:
        energy_mj = ctypes.c_ulonglong()
        counter = "nvmlDeviceGetTotalEnergyConsumption"
        self._call(counter, self._device, ctypes.byref(energy_mj))
        return energy_mj.value

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise Unavailable(f"{LIBRARY} has no {name}; the driver is too old")
        status = function(*arguments)
        if status:
            describe = self._library.nvmlErrorString
            describe.restype = ctypes.c_char_p
            raise Unavailable(f"{name}: {describe(status).decode()} (NVML status {status})")


def _load_library() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(f"{LIBRARY} cannot be loaded ({error})") from error


def find_meter(device: str) -> Meter:
    """Return the counter of torch's current device. Raises Unavailable."""
    if device != "cuda":
        raise Unavailable(NO_COUNTER)
    import torch

    # By UUID: NVML counts the machine's GPUs, torch those that it may see, each in its own order.
    uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
    return Nvml(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
