"""Networks without their initialisation: built without memory, then given values or room."""

import math
from collections.abc import Callable
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)
SPREAD = 3**-0.5
GAINS = ("weight_g", "original0")
"""Names of weight norm's gains, in both of its forms."""


def hollow(build: Callable[[], Network]) -> Network:
    """What `build` returns, its parameters on the meta device.

    Buffers, and parameters that begin as zeros or ones, keep their values. The global generator is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]), _EmptyOnMeta():
        torch.manual_seed(0)
        return build()


def randomise(network: Network, seed: int, prefix: str = "") -> Network:
    """Give every parameter on the meta device a float32 value on the CPU, alike for every device.

    Each has its own generator, seeded by `prefix`, its name and `seed`. Matrices and kernels are
    N(0, 1 / (3 fan-in)), the variance of torch's own initialisation; biases are zero, gains of
    weight norm fit the matrices, other vectors are one.
    """
    for name, empty in _meta(network):
        generator = torch.Generator().manual_seed(crc32(f"{prefix}{name}.{seed}".encode()))
        _place(network, name, _draw(name, tuple(empty.shape), generator))
    return network


def allocate(network: Network) -> Network:
    """Give every parameter on the meta device room on the CPU, for a file to fill."""
    for name, empty in _meta(network):
        _place(network, name, torch.empty(empty.shape, dtype=empty.dtype))
    return network


class _EmptyOnMeta(TorchFunctionMode):
    """Sends torch.empty, with which parameters begin, to the meta device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return function(*args, **kwargs)


def _meta(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in network.named_parameters() if value.is_meta]


def _place(network: nn.Module, name: str, value: Tensor) -> None:
    owner, _, own_name = name.rpartition(".")
    network.get_submodule(owner).register_parameter(own_name, nn.Parameter(value))


def _draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if math.prod(shape) == max(shape):  # a vector, however many axes of one it has
        value = 0.0 if name.endswith("bias") else SPREAD if name.endswith(GAINS) else 1.0
        return torch.full(shape, value)
    spread = SPREAD * math.prod(shape[1:]) ** -0.5
    return torch.empty(shape).normal_(0.0, spread, generator=generator)
