"""Weights of the published text-to-audio models: where they lie, and networks filled with them.

A network is built on the meta device and takes every tensor of its file exactly once.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from stabench.checkpoints import catalogue, digests, store, torch_file
from stabench.systems.networks.random_weights import Draws, Network, randomise

RANDOM = "random"
PUBLISHED = "published"
CONSTANTS = {"bias": 0.0, "alpha": 0.0, "beta": 0.0, "mean": 0.0, "weight_g": 0.6}
"""Of random vectors that are not one, by the end of their name; gains below 1 keep sound within
+-1."""


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
    found: dict[str, str] = {}
    for name, place in places(weights, names).items():
        entry = catalogue.entry(name)
        if weights == PUBLISHED:
            found |= {f"{name}/{file}": sha for file, sha in store.verify(place, entry).items()}
        else:
            members = store.members(entry, place)
            found |= {member.key: digests.digest(member.path) for member in members}
    return found


def json_of(path: Path) -> dict[str, Any]:
    """The table in a JSON file, which may hold // comments. ValueError: it is no such file."""
    text = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda found: found[1] or "", path.read_text())
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); fetch it again") from error
    if not isinstance(table, dict):
        raise ValueError(
            f"{path}: holds a {type(table).__name__}, expected a table; fetch it again"
        )
    return table


def tensors(*paths: Path, part: str | None = None) -> dict[str, Tensor]:
    """The tensors of the first file that is there: safetensors, or PyTorch's format without code.

    `part` is the key under which a training checkpoint keeps them. ValueError names the file that
    is damaged or lacks it.
    """
    path = next((path for path in paths if path.is_file()), paths[0])
    if path.suffix == ".safetensors":
        return _safetensors(path)
    content = torch_file.read(path)
    if part is not None:
        if not isinstance(content.get(part), dict):
            found = ", ".join(list(content)[:3])
            raise ValueError(f"{path}: no table {part!r} in it, but {found}; fetch it again")
        content = content[part]
    return content


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
    """The network with random tensors, the same on every device, and evaluating.

    They are drawn in float32 and rounded to `dtype` one by one.
    """
    values = Draws(
        seed, constants=CONSTANTS, seed_of=lambda name, seed: crc32(name.encode()) ^ seed
    )
    kind = getattr(torch, dtype)
    randomise(network, lambda name, shape: values(name, shape).to(kind))
    return network.eval().requires_grad_(False)


def fill(network: Network, state: Mapping[str, Tensor], path: Path) -> Network:
    """The network with the tensors of `state`, one each, and evaluating.

    ValueError for a tensor that is missing, left over or of another shape; it names `path`.
    """
    own = network.state_dict()
    missing, surplus = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    for what, keys in (("missing", missing), ("left over", surplus)):
        if keys:
            raise ValueError(
                f"{path}: {len(keys)} tensors {what}, first {keys[0]!r}; fetch the file again, or"
                " use the configuration that belongs to it"
            )
    for key, value in own.items():
        if state[key].shape != value.shape:
            raise ValueError(
                f"{path}: {key!r} is {tuple(state[key].shape)}, the configuration wants"
                f" {tuple(value.shape)}; use the configuration that belongs to this file"
            )
    network.load_state_dict(dict(state), assign=True)
    return network.eval().requires_grad_(False)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weights; fetch them, or use weights = 'random'")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); fetch it again") from error
