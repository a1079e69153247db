"""Energy, with a library and a time that the test makes up."""

import ctypes
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from stabench.harness.profiling.energy import LIBRARY, Nvml, Unavailable, find_meter, measure

UUID = "GPU-01234567-89ab-cdef"
NOT_SUPPORTED = 3


class World:
    """A GPU that takes 80 W, and 400 W more while a clip of 0.3 s runs."""

    def __init__(self) -> None:
        self.time_s = 1_000.0
        self.energy_j = 5.0e6

    def sleep(self, duration_s: float, watt: float = 80.0) -> None:
        self.time_s += duration_s
        self.energy_j += watt * duration_s

    def run(self) -> None:
        self.sleep(0.3, watt=480.0)

    def now(self) -> float:
        return self.time_s

    def read_mj(self) -> int:
        return round(self.energy_j * 1e3)


class Library:
    """libnvidia-ml as ctypes offers it: functions that return a status and write to pointers."""

    def __init__(self, status: int = 0, missing: str = "") -> None:
        self.calls: list[str] = []
        self._status = status
        self._missing = missing
        self.nvmlErrorString = _describe

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name == self._missing or not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *arguments: self._call(name, arguments)

    def _call(self, name: str, arguments: tuple) -> int:
        self.calls.append(name)
        if name == "nvmlDeviceGetHandleByUUID":
            assert arguments[0].value == UUID.encode()
            arguments[1]._obj.value = 77
        if name == "nvmlDeviceGetTotalEnergyConsumption":
            assert arguments[0].value == 77
            arguments[1]._obj.value = 2**40 + 5
            return self._status
        return 0


def _describe(status: int) -> bytes:
    assert status == NOT_SUPPORTED
    return b"Not Supported"


def test_the_idle_share_is_taken_off() -> None:
    world = World()
    found = measure(world, world.run, world.now, world.sleep)
    assert found.clips == 17
    assert found.clip_j == pytest.approx(400 * 0.3, rel=1e-4)
    assert found.idle_w == pytest.approx(80, rel=1e-4)
    assert found.total_j == pytest.approx(480 * 0.3 * 17, rel=1e-4)
    assert found.wall_s == pytest.approx(0.3 * 17)
    assert found.reason is None


def test_a_long_clip_is_run_three_times() -> None:
    world = World()
    found = measure(world, lambda: world.sleep(20, watt=180), world.now, world.sleep)
    assert (found.clips, found.clip_j) == (3, pytest.approx(2_000))


def test_the_counter_is_read_as_64_bits_of_the_gpu_named() -> None:
    library = Library()
    assert Nvml(UUID, library).read_mj() == 2**40 + 5
    assert library.calls[:2] == ["nvmlInit_v2", "nvmlDeviceGetHandleByUUID"]


def test_a_gpu_without_the_counter_says_so() -> None:
    said = r"^nvmlDeviceGetTotalEnergyConsumption: Not Supported \(NVML status 3\)$"
    with pytest.raises(Unavailable, match=said):
        Nvml(UUID, Library(status=NOT_SUPPORTED))


def test_an_old_driver_says_so() -> None:
    with pytest.raises(Unavailable, match="has no nvmlDeviceGetTotalEnergyConsumption; the driver"):
        Nvml(UUID, Library(missing="nvmlDeviceGetTotalEnergyConsumption"))


def test_a_machine_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(Unavailable, match=f"^{LIBRARY} cannot be loaded"):
        Nvml(UUID)


def test_a_cpu_has_no_counter() -> None:
    with pytest.raises(Unavailable, match="a CPU has no energy counter"):
        find_meter("cpu")


@pytest.mark.parametrize("uuid", [UUID, UUID.removeprefix("GPU-")])
def test_the_gpu_is_that_of_torch(monkeypatch: pytest.MonkeyPatch, uuid: str) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    found = {2: SimpleNamespace(uuid=uuid)}
    monkeypatch.setattr(torch.cuda, "get_device_properties", found.__getitem__)
    monkeypatch.setattr("stabench.harness.profiling.energy._load_library", Library)
    assert find_meter("cuda").read_mj() == 2**40 + 5
