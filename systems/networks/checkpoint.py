"""A STAR folder on disk: config.json and one safetensors file per part, read strictly."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stabench.systems.networks.config import to_dict

CONFIG_FILE = "config.json"


def part_file(folder: Path, part: str) -> Path:
    """Where `part` ("speech_encoder", "bridge", "udit", "vae") lies in a STAR folder."""
    return folder / f"{part}.safetensors"


def write_config(folder: Path, config: Any) -> None:
    """Write config.json atomically; `config` is a dataclass such as StarConfig."""
    text = json.dumps(to_dict(config), indent=2) + "\n"
    _replace(folder / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def save_part(path: Path, module: nn.Module, dtype: str | None = None) -> None:
    """Write a module's state atomically; `dtype` ("float16", ...) shrinks floating tensors."""
    import torch
    from safetensors.torch import save_file

    kind = None if dtype is None else getattr(torch, dtype)
    state = {}
    for key, value in module.state_dict().items():
        value = value.to(kind) if kind is not None and value.is_floating_point() else value
        state[key] = value.contiguous().cpu()
    _replace(path, lambda temporary: save_file(state, temporary))


def load_part(path: Path | Sequence[Path], module: nn.Module) -> None:
    """Fill a module from a file: the same keys and shapes, cast to the module's dtype.

    Of several files a later one overrules an earlier one, so that fine-tuned networks can share
    what they have in common. FileNotFoundError: no file. ValueError: unreadable file, missing,
    surplus or misshapen tensors; the message names the (last) file and the first such key.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    state: dict[str, Tensor] = {}
    for each in paths:
        state |= _read(each)
    own = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    _check(paths[-1], own, given)
    module.load_state_dict(state)


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such weights; fetch or train them, or use weights = 'random' for latency"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); fetch it again") from error


def _check(path: Path, own: dict[str, tuple], given: dict[str, tuple]) -> None:
    """Raise one ValueError for the first difference between two tables of shapes."""
    advice = "use the config.json written beside these weights"
    missing, surplus = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing:
        raise ValueError(f"{path}: {len(missing)} tensors missing, first {missing[0]!r}; {advice}")
    if surplus:
        raise ValueError(f"{path}: {len(surplus)} unknown tensors, first {surplus[0]!r}; {advice}")
    for key, shape in own.items():
        if given[key] != shape:
            raise ValueError(f"{path}: {key!r} is {given[key]}, the config wants {shape}; {advice}")


def _replace(path: Path, write) -> None:
    """Write beside `path`, force to disk, rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
