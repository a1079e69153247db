"""Random weights of a full-size network: valid for latency, never for quality."""

import math
from zlib import crc32

import torch
from torch import Tensor, nn

FILLS = {"bias": 0.0, "alpha": 0.0, "beta": 0.0, "mean": 0.0, "scale": 1.0, "weight_g": 0.6}
"""Of tensors that are not drawn, by the end of their name; gains below 1 keep sound within +-1."""


def randomise(network: nn.Module, seed: int, dtype: str = "float32") -> nn.Module:
    """The network with random tensors, the same on every device, and evaluating.

    Each tensor has its own generator, seeded by its name and `seed`: matrices are normal with
    variance 1 / fan-in, norms are 1, biases 0 (see FILLS). Buffers that were computed are kept.
    """
    kind = getattr(torch, dtype)
    state = {}
    for name, value in network.state_dict().items():
        if not value.is_meta:
            state[name] = value
        elif value.is_floating_point():
            state[name] = _draw(name, value, seed).to(kind)
        else:
            raise ValueError(f"{name!r} is no weight that can be drawn ({value.dtype})")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _draw(name: str, like: Tensor, seed: int) -> Tensor:
    leaf = name.rsplit(".", 1)[-1]
    shape = tuple(like.shape)
    if leaf in FILLS or len(shape) < 2:
        return torch.full(shape, FILLS.get(leaf, 1.0))
    generator = torch.Generator().manual_seed(crc32(name.encode()) ^ seed)
    fan_in = math.prod(shape[1:])
    return torch.randn(shape, generator=generator).mul_(fan_in**-0.5)
