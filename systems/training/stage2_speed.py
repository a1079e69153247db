"""How fast stage 2 trains at full size, and in how much memory: random weights, random data.

    python -m stabench.systems.training.stage2_speed [--device cuda|cpu] [--precision bfloat16]
                                                     [--batch 16] [--steps 20] [--out FILE]

Where there is no GPU it measures nothing, says so, and ends with code 3.
"""

import argparse
import json
import platform
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from stabench.systems.networks.udit import UDiT
from stabench.systems.star.config import StarConfig
from stabench.systems.training.compute import PRECISIONS, Accelerated, Compute
from stabench.systems.training.data import TensorFrames, TensorLatents
from stabench.systems.training.log import read_log
from stabench.systems.training.loop import Records
from stabench.systems.training.stage2 import Stage2Config, train_stage2
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
from stabench.systems.training.workplace import Workplace

NOT_MEASURED = 3
# The first steps choose kernels and fill the allocator.
WARM_UP = 3
FULL_SIZE = StarConfig()


@dataclass(frozen=True)
class Stage2Speed:
    """What was measured of single steps: the median after the warm-up, and the highest memory."""

    device: str
    precision: str
    batch: int
    steps: int
    seconds_per_step: float
    samples_per_s: float
    peak_memory_gib: float
    loss: float
    torch: str


def measure(
    device: torch.device,
    precision: str = "bfloat16",
    batch: int = 16,
    steps: int = 20,
    config: StarConfig = FULL_SIZE,
) -> Stage2Speed:
    """Train `steps` steps of a system of this config and return their speed.

    Memory is the GPU's allocated, on a CPU the process's highest resident.
    """
    compute = Compute() if precision == "float32" else Accelerated(precision, device.type)
    network, data = _new_training(config, batch, device)
    recipe = Stage2Config(batch=batch, steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        work = Workplace(Path(folder), device)
        records = Records(save_every=steps + 1, log_every=1)
        train_stage2("speed", recipe, data, network, work, compute, records=records)
        lines = read_log(work.folder / "speed.log.jsonl")
    seconds = [line["seconds_per_step"] for line in lines]
    each = median(seconds[WARM_UP:] or seconds)
    on_gpu = device.type == "cuda"
    highest = (
        torch.cuda.max_memory_allocated(device)
        if on_gpu
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    return Stage2Speed(
        device=torch.cuda.get_device_name(device) if on_gpu else platform.processor() or "cpu",
        precision=precision,
        batch=batch,
        steps=steps,
        seconds_per_step=each,
        samples_per_s=batch / each,
        peak_memory_gib=highest / 2**30,
        loss=lines[-1]["loss"],
        torch=torch.__version__,
    )


def _new_training(
    config: StarConfig, batch: int, device: torch.device
) -> tuple[Stage2Network, Stage2Data]:
    assert config.bridge is not None, "a STAR with a bridge is measured"
    queries = config.bridge.queries
    torch.manual_seed(0)
    with torch.device(device):
        projection = nn.Linear(config.bridge.width, config.bridge.output_width)
        network = Stage2Network(UDiT(config.udit), projection)
        rows = torch.randn(batch * queries, config.bridge.width).half()
        means = torch.randn(batch, config.udit.in_channels, config.latent_frames).half()
    data = Stage2Data(
        TensorFrames(rows, np.arange(batch + 1) * queries),
        TensorLatents(means, torch.full_like(means, 0.1), lambda raw: raw),
    )
    return network, data


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="stage2_speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precision", choices=tuple(PRECISIONS), default="bfloat16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(f"not measured: torch {torch.__version__} sees no CUDA device", file=sys.stderr)
        sys.exit(NOT_MEASURED)
    device = torch.device(options.device)
    speed = measure(device, options.precision, options.batch, options.steps)
    text = json.dumps(asdict(speed), indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
