"""Pseudo-random tensors for tiny checkpoints, and the names that published code gives them.

A tensor is drawn from a generator seeded by the CRC of its name: a checkpoint can be rebuilt from
a list of names and shapes, for other people's code and for ours.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).parents[2] / "data"


def golden(name: str) -> Mapping[str, np.ndarray]:
    """Arrays of `tests/data/golden_<name>.npz`."""
    return np.load(DATA / f"golden_{name}.npz")


def named(tensors: Mapping[str, Tensor]) -> np.ndarray:
    """Names and shapes as an array of strings, "unet.conv_in.weight 32 8 3 3"."""
    return np.array([" ".join([name, *map(str, one.shape)]) for name, one in tensors.items()])


def draw(names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors that `named` lists."""
    rows = [str(name).split(" ") for name in names]
    return {name: tensor(name, tuple(map(int, shape))) for name, *shape in rows}


def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Gains near 1 (of weight norm 0.7), biases near 0, matrices with variance 1 / fan-in; and
    rotary frequencies."""
    if name.endswith("inv_freq"):
        return 10_000.0 ** -(torch.arange(shape[0]) / shape[0])
    z = np.random.RandomState(crc32(name.encode())).standard_normal(math.prod(shape))
    z = z.reshape(shape)
    if name.endswith(("bias", "alpha", "beta")):
        z = 0.02 * z
    elif name.endswith("weight_g"):
        z = 0.7 + 0.1 * z
    elif len(shape) < 2:
        z = 1 + 0.1 * z
    else:
        z = z * math.prod(shape[1:]) ** -0.5
    return torch.from_numpy(z.astype(np.float32))
