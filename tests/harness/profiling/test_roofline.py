"""Ceilings: their arithmetic with a time that is made up, and what a process says of its own."""

import json
import sys
from pathlib import Path

import pytest
import torch

from stabench.harness.device import Cpu
from stabench.harness.environment import START
from stabench.harness.errors import StabenchError
from stabench.harness.profiling import roofline
from stabench.harness.profiling.roofline import Ceilings, main, measure, measured_apart


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SIZES", {"cpu": (32, 64)})
    monkeypatch.setattr(roofline, "MOVED_BYTES", {"cpu": 1 << 16})
    monkeypatch.setattr(roofline, "LEAST_S", 1e-4)


@pytest.fixture
def interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a shell script in the place of Python."""

    def write(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return write


def test_rates_are_work_over_the_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_time_best_s", lambda run, place: run() is None or 0.5)
    found = measure("cpu", ["float32"], 1)
    assert found.flops_per_s == {"float32": 2 * 64**3 / 0.5}
    assert found.bytes_per_s == 2 * (1 << 16) / 0.5


def test_the_best_of_the_tries_counts_for_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "LEAST_S", 6.0)
    durations_s = iter([90.0, 2.0, *([5.0] * 3 + [4.0] * 3 + [3.0] * 9)])
    clock_s = 0.0

    def run() -> None:
        nonlocal clock_s
        clock_s += next(durations_s)

    monkeypatch.setattr(roofline.time, "perf_counter", lambda: clock_s)
    assert roofline._time_best_s(run, Cpu()) == 3.0
    assert next(durations_s, None) is None


def test_every_precision_is_measured_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    real = torch.mm

    def mm(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        kinds.append((left.dtype, torch.backends.cuda.matmul.fp32_precision))
        return real(left, right, out=out)

    monkeypatch.setattr(torch, "mm", mm)
    before = torch.backends.cuda.matmul.fp32_precision
    found = measure("cpu", ["bfloat16", "float32", "tf32", "int8", "bfloat16"], 1)
    assert set(kinds) == {
        (torch.bfloat16, "ieee"),
        (torch.float32, "ieee"),
        (torch.float32, "tf32"),
    }
    assert torch.backends.cuda.matmul.fp32_precision == before
    assert found.precisions == {"bfloat16", "float32", "tf32", "int8"}
    assert found.flops_per_s["int8"] is None
    assert min(rate for name, rate in found.flops_per_s.items() if name != "int8") > 1e6


def test_a_precision_without_a_kernel_has_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("not implemented")

    monkeypatch.setattr(torch, "mm", refuse)
    assert measure("cpu", ["float32"], 1).flops_per_s == {"float32": None}


def test_a_process_prints_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main("cpu", "1", "float32")
    found = Ceilings(**json.loads(capsys.readouterr().out))
    assert (found.device, found.torch, found.threads) == ("CPU", torch.__version__, 1)
    assert found.flops_per_s.keys() == {"float32"}


def test_a_process_is_asked_and_believed(interpreter) -> None:
    values = {
        "device": "CPU",
        "torch": "2.13.0",
        "threads": 2,
        "flops_per_s": {"float32": 1e9},
        "bytes_per_s": 1e10,
    }
    asked = f"{START} stabench.harness.profiling.roofline cpu 2 float32 tf32"
    interpreter(f"[ \"$*\" = '{asked}' ] || exit 9\necho noise\necho '{json.dumps(values)}'")
    assert measured_apart("cpu", ["float32", "tf32"], 2, {}) == Ceilings(**values)


def test_a_process_that_fails_is_one_line(interpreter) -> None:
    interpreter("echo 'Traceback' >&2\necho 'StabenchError: no GPU' >&2\nexit 1")
    with pytest.raises(StabenchError, match=r"^ceilings of 'cuda' not measured: StabenchError: no"):
        measured_apart("cuda", ["float32"], 1, {})


def test_a_process_that_takes_too_long_is_one_line(interpreter, monkeypatch) -> None:
    interpreter("exec tail -f /dev/null")
    monkeypatch.setattr(roofline, "TIMEOUT_S", 0.05)
    with pytest.raises(StabenchError, match=r"not measured within 0.05 s"):
        measured_apart("cpu", ["float32"], 1, {"PATH": "/usr/bin:/bin"})
