"""Networks without their initialisation: built without memory, then given values or room."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Network = TypeVar("Network", bound=nn.Module)


class Draw(Protocol):
    """The value of a tensor by its name and shape."""

    def __call__(self, name: str, shape: tuple[int, ...], /) -> Tensor: ...


def name_then_seed(name: str, seed: int) -> int:
    """Return the seed of one tensor's generator."""
    return crc32(f"{name}.{seed}".encode())


def seed_then_name(name: str, seed: int) -> int:
    """Return the seed of a tensor of the metrics' networks."""
    return crc32(f"{seed} {name}".encode())


def name_with_seed(name: str, seed: int) -> int:
    """Return the seed of a tensor of the latent diffusion models."""
    return crc32(name.encode()) ^ seed


class Draws(NamedTuple):
    """Random values, each from a generator of its own: alike whatever else is drawn.

    Matrices and kernels are N(0, spread^2 / fan-in), or N(0, deviation^2) where the name holds a
    key of `deviations`. Vectors are one, but for the `constants` of the last part of a name.
    `prefix` is put before every name.
    """

    seed: int
    prefix: str = ""
    spread: float = 1.0
    constants: Mapping[str, float] = {"bias": 0.0}
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    # Stored runs hold the values of three schemes; a new one has no reason to differ.
    seed_of: Callable[[str, int], int] = name_then_seed
    deviations: Mapping[str, float] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        value = torch.empty(shape, device=self.device, dtype=self.dtype)
        leaf = name.rpartition(".")[2]
        # Biases, and gains of norms: the vectors of a network, which no generator draws.
        if leaf in self.constants or len(shape) < 2:
            return value.fill_(self.constants.get(leaf, 1.0))
        generator = torch.Generator(self.device)
        generator.manual_seed(self.seed_of(f"{self.prefix}{name}", self.seed))
        stated = (deviation for part, deviation in self.deviations.items() if part in name)
        # shape[1:] is what one output sums over: inputs, times the positions of a kernel.
        deviation = next(stated, self.spread * math.prod(shape[1:]) ** -0.5)
        return value.normal_(0.0, deviation, generator=generator)


def as_torch(seed: int, prefix: str = "") -> Draws:
    """Return draws with the variance of torch's own initialisation, 1 / (3 fan-in).

    Gains of weight norm, in both of its forms, fit the matrices; slopes of snakes are one.
    """
    spread = 3**-0.5
    gains = {"weight_g": spread, "original0": spread}
    constants = {"bias": 0.0, "alpha": 1.0, "beta": 1.0, **gains}
    return Draws(seed, prefix, spread, constants)


class EmptyOnMeta(TorchFunctionMode):
    """Sends torch.empty, with which parameters begin, to the meta device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # torch.zeros and torch.ones stay: norms and buffers begin with values that must be kept.
        if function is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return function(*args, **kwargs)


def hollow(build: Callable[[], Network]) -> Network:
    """Return what `build` makes, its parameters on the meta device.

    Buffers, and parameters that begin as zeros or ones, keep their values. The global generator is
    left as it was.
    """
    with torch.random.fork_rng(devices=[]), EmptyOnMeta():
        torch.manual_seed(0)
        return build()


def randomise(network: Network, draw: Draw, every: bool = False) -> Network:
    """Give whatever is on the meta device the value that `draw` gives for its name.

    `every`: the parameters that have a value already get a new one as well.
    """
    parameters = dict(network.named_parameters())
    # Buffers, too: those that were made by torch.empty have no value either.
    for name, old in {**parameters, **dict(network.named_buffers())}.items():
        if old.is_meta or (every and name in parameters):
            _place(network, name, old, draw(name, tuple(old.shape)))
    return network


def allocate(network: Network) -> Network:
    """Give every parameter on the meta device room on the CPU, for a file to fill."""
    for name, old in list(network.named_parameters()):
        if old.is_meta:
            _place(network, name, old, torch.empty(old.shape, dtype=old.dtype))
    return network


def _place(network: nn.Module, name: str, old: Tensor, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    module = network.get_submodule(owner)
    if isinstance(old, nn.Parameter):
        module.register_parameter(leaf, nn.Parameter(value, requires_grad=old.requires_grad))
    else:
        setattr(module, leaf, value)
