"""A stage 2 of random data, small enough for a test; a process of its own when run.

    python -m tests.systems.training.tiny_stage2 FOLDER [PRECISION]

With PRECISION it goes through accelerate, as one of the processes of its environment.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stabench.systems.networks.config import UDiTConfig
from stabench.systems.networks.udit import UDiT
from stabench.systems.training.compute import Accelerated, Compute
from stabench.systems.training.data import TensorFrames, TensorLatents
from stabench.systems.training.loop import Records
from stabench.systems.training.stage2 import Stage2Config, train_stage2
from stabench.systems.training.stage2_network import Stage2Data, Stage2Network
from stabench.systems.training.workplace import Workplace

UDIT = UDiTConfig(
    in_channels=4, width=16, heads=2, depth=2, lora_rank=2, lora_alpha=2, context_width=8
)
CONFIG = Stage2Config(rate=3e-3, warmup=5, steps=40, batch=4, ema=0.9, seed=3)
SAVING = Records(save_every=4, keep=2, log_every=1)
SOUNDS, FRAMES, QUERIES, STATES = 10, 12, 3, 6


def random_data(sounds: int = SOUNDS) -> Stage2Data:
    """Return random states of a Q-Former and random posteriors."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(sounds * QUERIES, STATES, generator=generator).half()
    means = torch.randn(sounds, UDIT.in_channels, FRAMES, generator=generator).half()
    latents = TensorLatents(means, torch.full_like(means, 0.1), lambda raw: raw / 2)
    return Stage2Data(TensorFrames(rows, np.arange(sounds + 1) * QUERIES), latents)


def new_network() -> Stage2Network:
    """Return a network whose cross-attention is open, so that its projection learns at once."""
    torch.manual_seed(1)
    udit = UDiT(UDIT)
    for block in udit.blocks:
        nn.init.normal_(block.cross_attn.proj.weight, std=0.2)
    return Stage2Network(udit, nn.Linear(STATES, UDIT.context_width))


def train(folder: Path, compute: Compute | None = None, **options) -> Stage2Network:
    """Train and return it; every step is logged."""
    network = new_network()
    work = Workplace(folder, torch.device("cpu"))
    options.setdefault("records", Records(log_every=1))
    data = options.pop("data", None) or random_data()
    config = options.pop("config", CONFIG)
    train_stage2("tiny", config, data, network, work, compute, **options)
    return network


if __name__ == "__main__":
    torch.set_num_threads(1)
    precision = sys.argv[2:]
    how = Accelerated(precision[0], "cpu") if precision else None
    train(Path(sys.argv[1]), how, records=SAVING)
