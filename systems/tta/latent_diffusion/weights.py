"""Weights of the published text-to-audio models: where they lie, and networks filled with them.

A network is built on the meta device and takes every tensor of its file exactly once.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stabench.checkpoints import catalogue, digests, store
from stabench.checkpoints.random_weights import Draws, Network, name_with_seed, randomise
from stabench.checkpoints.tensors import fill_network

RANDOM = "random"
PUBLISHED = "published"
# Random vectors that are not one, by the end of their name. Gains below 1 keep sound within +-1.
CONSTANTS = {"bias": 0.0, "alpha": 0.0, "beta": 0.0, "mean": 0.0, "weight_g": 0.6}


def places(weights: str, names: tuple[str, ...]) -> dict[str, Path]:
    """Where each catalogue entry of `names` lies: as `checkpoints` finds it for "published", else
    `<weights>/<name>`. FileNotFoundError says what is missing and how to get it."""
    if weights == PUBLISHED:
        return {name: store.locate(name) for name in names}
    folder = Path(weights)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"weights is {weights!r}: no such folder; allowed are '{PUBLISHED}', '{RANDOM}' and a"
            f" folder that holds {', '.join(names)}"
        )
    return {name: store.locate(name, folder / name) for name in names}


def sha256_of(weights: str, names: tuple[str, ...]) -> str | dict[str, str]:
    """sha256 of every file by "entry/name"; "random" for none.

    Published files are held to their published or pinned digests: ValueError names the file.
    """
    if weights == RANDOM:
        return RANDOM
    sha256: dict[str, str] = {}
    for name, place in places(weights, names).items():
        entry = catalogue.entry(name)
        if weights == PUBLISHED:
            sha256 |= {f"{name}/{file}": sha for file, sha in store.verify(place, entry).items()}
        else:
            members = store.members(entry, place)
            # Files of the user's own have no published digest to be held to.
            sha256 |= {member.key: digests.digest(member.path) for member in members}
    return sha256


def section(path: Path, table: Mapping[str, Any], *names: str) -> Any:
    """`table[names[0]][names[1]]...`; ValueError names the file and the key that is not there."""
    for name in names:
        if not isinstance(table, Mapping) or name not in table:
            raise ValueError(f"{path}: key {'.'.join(names)!r} is missing; fetch it again")
        table = table[name]
    return table


def empty(build: Callable[[], Network]) -> Network:
    """What `build` returns, on the meta device: shapes without memory."""
    with torch.device("meta"):
        return build()


def drawn(network: Network, seed: int, dtype: str = "float32") -> Network:
    """Return the network with random tensors, the same on every device, and evaluating.

    They are drawn in float32 and rounded to `dtype` one by one.
    """
    values = Draws(seed, constants=CONSTANTS, seed_of=name_with_seed)
    kind = getattr(torch, dtype)
    randomise(network, lambda name, shape: values(name, shape).to(kind))
    return network.eval().requires_grad_(False)


def fill(network: Network, state: Mapping[str, Tensor], path: Path) -> Network:
    """Return the network with the tensors of `state` themselves, and evaluating.

    Raises ValueError as `fill_network` does; it names `path`.
    """
    fill_network(network, state, path, assign=True)
    return network.eval().requires_grad_(False)
