"""Devices: the CPU against the kernel's own figures, CUDA against a torch that keeps a diary."""

import os
import resource
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from stabench.harness import device as module
from stabench.harness.device import Cpu, Cuda, device, limit_threads, select_gpu
from stabench.harness.errors import StabenchError
from stabench.harness.runner.clock import Clock


class FakeCuda:
    """torch.cuda: time moves by 1.5 ms an event, memory peaks at 7 bytes."""

    def __init__(self, available: bool = True) -> None:
        self.available = available
        self.diary: list[str] = []
        self.time_ms = 0.0

    def is_available(self) -> bool:
        return self.available

    def synchronize(self) -> None:
        self.diary.append("synchronize")

    def reset_peak_memory_stats(self) -> None:
        self.diary.append("reset")

    def max_memory_allocated(self) -> int:
        return 7

    def Event(self, enable_timing: bool) -> "FakeEvent":
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def record(self) -> None:
        self._cuda.time_ms += 1.5
        self.at_ms = self._cuda.time_ms

    def elapsed_time(self, end: "FakeEvent") -> float:
        assert self._cuda.diary[-1] == "synchronize", "events are read after a synchronisation"
        return end.at_ms - self.at_ms


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    torch = SimpleNamespace(cuda=fake, __version__="2.13.0")
    monkeypatch.setitem(sys.modules, "torch", torch)
    return fake


def test_stages_on_cuda_have_device_times(cuda: FakeCuda) -> None:
    clock = Clock(device("cuda"))
    with clock.phase("generate"):
        for _ in range(2):
            with clock("sampler"):
                pass
        with clock("decoder"):
            pass
    assert [(span.name, span.device_ns) for span in clock.spans] == [
        ("sampler", 3_000_000),
        ("decoder", 1_500_000),
    ]
    boundaries, stages = 2, 3
    assert cuda.diary == ["synchronize"] * (boundaries + stages)


def test_memory_on_cuda_is_that_of_torch(cuda: FakeCuda) -> None:
    found = Cuda()
    found.reset_peak()
    assert (found.peak_bytes(), cuda.diary) == (7, ["reset"])


def test_cuda_without_a_gpu_is_one_line_and_exit_2(cuda: FakeCuda) -> None:
    cuda.available = False
    with pytest.raises(
        StabenchError, match=r"torch 2\.13\.0 sees no GPU; use --device cpu"
    ) as caught:
        device("cuda")
    assert caught.value.exit_code == 2


def test_memory_on_the_cpu_is_the_largest_so_far() -> None:
    found = Cpu().peak_bytes()
    held = bytearray(b"x" * 50_000_000)
    grown = Cpu().peak_bytes()
    assert grown >= found
    assert grown <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.1
    assert grown >= len(held)


def test_threads_are_limited_only_where_torch_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert limit_threads(3) is None
    assert "torch" not in sys.modules
    said: list[Any] = []
    fake = SimpleNamespace(set_num_threads=said.append, get_num_threads=lambda: said[-1])
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert limit_threads(3) == 3


@pytest.fixture
def unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has chosen no GPU yet, with a torch that has not begun to use CUDA."""
    cuda = SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(module, "_selected", [])
    # Set first, so that what is set in the test is undone after it.
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_without_a_number_nothing_is_chosen(unused: None, name: str) -> None:
    assert select_gpu(name) == name
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_number_is_that_of_nvidia_smi_and_may_be_asked_for_again(unused: None) -> None:
    assert select_gpu("cuda:1") == "cuda"
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == (
        "1",
        "PCI_BUS_ID",
    )
    # A second run in a notebook: CUDA is in use by then.
    sys.modules["torch"].cuda.is_initialized = lambda: True
    assert select_gpu("cuda:1") == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    with pytest.raises(StabenchError, match="told to use 'cuda:1', and has one GPU"):
        select_gpu("cuda:0")


def test_a_number_counts_within_the_visible_gpus(
    unused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7f")
    with pytest.raises(StabenchError, match="is '3,GPU-7f', so cuda:0 to cuda:1 can be chosen"):
        select_gpu("cuda:2")
    select_gpu("cuda:1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-7f"
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_once_cuda_is_in_use_no_gpu_can_be_chosen(unused: None) -> None:
    sys.modules["torch"].cuda.is_initialized = lambda: True
    with pytest.raises(StabenchError, match="CUDA is in use in this process"):
        select_gpu("cuda:0")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "", "cuda:1:2"])
def test_other_devices_are_one_line(unused: None, name: str) -> None:
    with pytest.raises(StabenchError, match="expected cpu, cuda or cuda:N, such as cuda:1"):
        select_gpu(name)
