"""The ceilings of a device: what it computes and moves at best. A program of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import ClassVar

from stabench.harness.device import Device, device, limit_threads
from stabench.harness.environment import START
from stabench.harness.errors import StabenchError

# Widths of the square matrices.
SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
MOVED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
TRIES = 5
# A try multiplies until this long has passed, so that the device reaches its clock.
LEAST_S = 0.2
TIMEOUT_S = 300


@dataclass(frozen=True)
class Ceilings:
    """The best of `TRIES`: FLOP/s of a large matrix product by precision, bytes/s of memory.

    `bytes_per_s` is of a large copy (read and written) or a large sum (read), the faster one.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    device: str
    torch: str
    threads: int | None
    flops_per_s: dict[str, float | None]
    bytes_per_s: float

    @property
    def precisions(self) -> set[str]:
        """What was measured, or cannot be (None)."""
        return set(self.flops_per_s)


def measure(name: str, precisions: Iterable[str], threads: int) -> Ceilings:
    """Measure the ceilings of device "cpu" or "cuda"; None for a precision it cannot do."""
    import torch

    place = device(name)
    used = limit_threads(threads)
    rates = {
        precision: _measure_flops_per_s(precision, place) for precision in sorted(set(precisions))
    }
    return Ceilings(
        device=torch.cuda.get_device_name() if name == "cuda" else "CPU",
        torch=torch.__version__,
        threads=used,
        flops_per_s=rates,
        bytes_per_s=_measure_bytes_per_s(place),
    )


def _measure_flops_per_s(precision: str, place: Device) -> float | None:
    import torch

    kind = getattr(torch, "float32" if precision == "tf32" else precision, None)
    if kind is None or not kind.is_floating_point:
        return None
    # One dtype, two rates: whether a GPU rounds float32 to tf32 is a setting of the process.
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32" if precision == "tf32" else "ieee"
    rates = []
    try:
        for width in SIZES[place.name]:
            left, right = (torch.randn(width, width, device=place.name).to(kind) for _ in range(2))
            out = torch.empty_like(left)
            seconds = _time_best_s(partial(torch.mm, left, right, out=out), place)
            # Each of the width² results is a sum of `width` products: a multiplication and an
            # addition each.
            rates.append(2 * width**3 / seconds)
        return max(rates)
    except RuntimeError:  # No kernel for it, such as 8-bit floats.
        return None
    finally:
        matmul.fp32_precision = before


def _measure_bytes_per_s(place: Device) -> float:
    import torch

    size = MOVED_BYTES[place.name]
    # Larger than any cache, so that it is memory that is measured; 4 bytes an element.
    source = torch.ones(size // 4, device=place.name)
    target = torch.empty_like(source)
    copied_s = _time_best_s(lambda: target.copy_(source), place)
    summed_s = _time_best_s(lambda: source.sum(), place)
    return max(2 * size / copied_s, size / summed_s)


def _time_best_s(run: Callable[[], object], place: Device) -> float:
    """Return the seconds of one `run`, the best of `TRIES` means over `LEAST_S`."""
    _time_s(run, 1, place)  # The first one also finds its kernel.
    count = max(1, round(LEAST_S / _time_s(run, 1, place)))
    return min(_time_s(run, count, place) for _ in range(TRIES)) / count


def _time_s(run: Callable[[], object], count: int, place: Device) -> float:
    place.synchronize()
    start_s = time.perf_counter()
    for _ in range(count):
        run()
    place.synchronize()
    return time.perf_counter() - start_s


def measured_apart(
    name: str, precisions: Sequence[str], threads: int, environment: dict[str, str]
) -> Ceilings:
    """Run `measure` in a process of its own, whose memory is gone afterwards.

    Raises StabenchError.
    """
    command = [
        sys.executable,
        str(START),
        "stabench.harness.profiling.roofline",
        name,
        str(threads),
        *precisions,
    ]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        return Ceilings(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise StabenchError(f"ceilings of '{name}' not measured: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise StabenchError(f"ceilings of '{name}' not measured within {TIMEOUT_S} s") from error


def main(name: str, threads: str, *precisions: str) -> None:
    """Print the ceilings as one line of JSON."""
    print(json.dumps(asdict(measure(name, precisions, int(threads)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
