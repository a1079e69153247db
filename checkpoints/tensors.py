"""Files of weights: read without running code, fitted strictly into a network, written whole."""

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

CONFIG, MODEL = "config.json", "model.safetensors"
# What older folders of the hub hold instead of MODEL.
PICKLED = "pytorch_model.bin"
# Tensors of each kind of misfit that a message names.
NAMED = 3

ZIP = b"PK\x03\x04"
# The module of NumPy's constructors, as NumPy 2 and NumPy 1 write it into a pickle.
CORES = ("numpy._core.multiarray", "numpy.core.multiarray")
UNSAFE_DTYPES = {"ObjectDType", "StringDType", "VoidDType"}


def find_tensors_file(path: Path) -> Path:
    """Return `path` if it is a file, else the file of tensors in that folder.

    Raises FileNotFoundError when there is none.
    """
    files = [path / MODEL, path / PICKLED] if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"{files[0]}: no such weights; fetch or train them, or use weights = 'random' for latency"
    )


def read_tensors(path: Path, part: str | None = None) -> dict[str, Any]:
    """Return the tensors by name of a file, or of the one in a folder: safetensors, or PyTorch's.

    `part` is the key under which a training checkpoint keeps them. Raises FileNotFoundError, and
    ValueError that names the file for a damaged one, another format, or one without `part`.
    """
    path = find_tensors_file(path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    if part is None:
        return content
    if not isinstance(content.get(part), dict):
        keys = ", ".join(list(content)[:NAMED])
        raise ValueError(f"{path}: no table {part!r} in it, but {keys}; fetch it again")
    return content[part]


def read_json(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file, which may hold // comments.

    Raises FileNotFoundError, and ValueError for a file that is none.
    """
    text = re.sub(
        r'("(?:\\.|[^"\\])*")|//[^\n]*',
        lambda match: match[1] or "",
        path.read_text(encoding="utf-8"),
    )
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); fetch it again") from error
    if not isinstance(table, dict):
        raise ValueError(
            f"{path}: holds a {type(table).__name__}, expected a table; fetch it again"
        )
    return table


def fill_network(
    network: "nn.Module",
    tensors: Mapping[str, Any],
    where: str | Path,
    derived: Iterable[str] = (),
    assign: bool = False,
) -> None:
    """Give `network` these tensors; every name, shape and kind of number must fit.

    `derived` names tensors that only some files carry: the network keeps its own. `assign` takes
    the tensors themselves, with their dtype, instead of copying them into the network's. Raises
    ValueError that begins with `where` and names what does not fit.
    """
    state = network.state_dict()
    kept = [name for name in derived if name in state]
    chosen = {name: value for name, value in tensors.items() if name not in set(derived)}
    chosen |= {name: state[name] for name in kept}
    check_fit(state, chosen, where, type(network).__name__)
    network.load_state_dict(chosen, assign=assign)


def check_fit(
    wanted: Mapping[str, Any], given: Mapping[str, Any], where: str | Path, network: str
) -> None:
    """Raise ValueError unless `given` has the names, shapes and kinds of number of `wanted`."""
    import torch

    others = [name for name, value in given.items() if not isinstance(value, torch.Tensor)]
    left_over = [name for name in given if name not in wanted]
    shapes, kinds = [], []
    for name in [name for name in given if name in wanted and name not in others]:
        value, own = given[name], wanted[name]
        if value.shape != own.shape:
            shapes.append(f"{name} is {tuple(value.shape)} instead of {tuple(own.shape)}")
        elif value.is_floating_point() != own.is_floating_point():
            kinds.append(f"{name} is {value.dtype} instead of {own.dtype}")
    missing = [name for name in wanted if name not in given]
    misfits = {
        "missing ": _with_nearest(missing, left_over),
        "left over ": left_over,
        "no tensor ": others,
        "": shapes + kinds,
    }
    phrases = [f"{kind}{_name_some(names)}" for kind, names in misfits.items() if names]
    if phrases:
        raise ValueError(
            f"{where}: its tensors do not fit {network}: {'; '.join(phrases)}; use the "
            "configuration that belongs to this file, or fetch it again"
        )


def save_tensors(path: Path, module: "nn.Module", dtype: str | None = None) -> None:
    """Write a module's state atomically; `dtype` ("float16", ...) shrinks floating tensors."""
    import torch
    from safetensors.torch import save_file

    kind = None if dtype is None else getattr(torch, dtype)
    state = {}
    for key, value in module.state_dict().items():
        value = value.to(kind) if kind is not None and value.is_floating_point() else value
        state[key] = value.contiguous().cpu()
    write_atomically(path, lambda temporary: save_file(state, temporary))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, force to disk, rename over it: a reader never sees half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)


def read_torch(path: str | Path) -> dict[str, Any]:
    """Return the dict that `torch.save` wrote, on the CPU; mapped into memory where it can be.

    Besides tensors only arrays, scalars and dtypes of NumPy are allowed: PANNs' files hold a
    sampler's arrays, LAION's hold scalars. Raises FileNotFoundError, or ValueError for whatever
    else is in the file (by name), a truncated file, another format and another content.
    """
    import torch

    path = Path(path)
    mapped = _is_zip(path)
    try:
        with torch.serialization.safe_globals(_numpy_names()):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: {_refusal(str(error))}") from error
    except OSError:
        raise
    except Exception as error:
        # A damaged pickle makes the reader stumble in any way: IndexError, struct.error, ...
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} is no whole PyTorch checkpoint: {first}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; a dict of tensors is expected")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); fetch it again") from error


def _with_nearest(missing: list[str], left_over: list[str]) -> list[str]:
    """Return the names, the first few with what may stand for them in the file."""
    names = []
    for name in missing[:NAMED]:
        near = get_close_matches(name, left_over, n=1, cutoff=0.8)
        names.append(f"{name} (is it {near[0]}?)" if near else name)
    return names + missing[NAMED:]


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _is_zip(path: Path) -> bool:
    """Return whether it is in the zip format of today; ValueError when that zip has no end."""
    with open(path, "rb") as file:
        begins = file.read(len(ZIP)) == ZIP
    if begins and not zipfile.is_zipfile(path):
        size = path.stat().st_size
        raise ValueError(f"{path} is truncated (at {size} bytes); delete it and fetch it again")
    return begins


def _numpy_names() -> list[Any]:
    """Return what may be constructed, under the names that both major versions of NumPy write."""
    import numpy as np
    from numpy._core import multiarray

    dtypes = [
        kind
        for name, kind in vars(np.dtypes).items()
        if name.endswith("DType") and name not in UNSAFE_DTYPES
    ]
    functions = [
        (getattr(multiarray, name), f"{core}.{name}")
        for core in CORES
        for name in ("_reconstruct", "scalar")
    ]
    return [np.ndarray, np.dtype, *dtypes, *functions]


def _refusal(message: str) -> str:
    match = re.search(r"GLOBAL (\S+)|got <class '([^']+)'>", message)
    if match:
        name = (match[1] or match[2]).rstrip(".,")
        return (
            f"refused, its pickle asks for {name}, which could run code; only tensors and NumPy "
            "values are read: get the file from its origin"
        )
    return "no PyTorch checkpoint, or a damaged one; fetch it again"
