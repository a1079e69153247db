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

# What torch.save writes since PyTorch 1.6 is a zip; anything else is its older format.
ZIP = b"PK\x03\x04"
# The module of NumPy's constructors, as NumPy 2 and NumPy 1 write it into a pickle.
CORES = ("numpy._core.multiarray", "numpy.core.multiarray")
# Arrays of these hold Python objects, text or raw records; weights are numbers.
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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = find_tensors_file(path)
    if path.suffix == ".safetensors":
        try:
            content: dict[str, Any] = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file ({error}); fetch it again") from error
    else:
        content = read_torch(path)
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
    # Strings are matched first and kept, so that the // of an address in one is no comment.
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
    # The network's own values go back in: load_state_dict is strict about every name.
    chosen |= {name: state[name] for name in kept}
    check_fit(state, chosen, where, type(network).__name__)
    network.load_state_dict(chosen, assign=assign)


def check_fit(
    wanted: Mapping[str, Any], tensors: Mapping[str, Any], where: str | Path, network: str
) -> None:
    """Raise ValueError unless `tensors` has the names, shapes and kinds of number of `wanted`."""
    import torch

    others = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    left_over = [name for name in tensors if name not in wanted]
    shapes, kinds = [], []
    for name in [name for name in tensors if name in wanted and name not in others]:
        value, expected = tensors[name], wanted[name]
        if value.shape != expected.shape:
            shapes.append(f"{name} is {tuple(value.shape)} instead of {tuple(expected.shape)}")
        # A float16 file fits a float32 network; load_state_dict would cast whole numbers as well.
        elif value.is_floating_point() != expected.is_floating_point():
            kinds.append(f"{name} is {value.dtype} instead of {expected.dtype}")
    missing = [name for name in wanted if name not in tensors]
    misfits = {
        "missing ": _name_nearest(missing, left_over),
        "left over ": left_over,
        "no tensor ": others,
        "": shapes + kinds,
    }
    phrases = []
    for kind, names in misfits.items():
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            phrases.append(f"{kind}{', '.join(names[:NAMED])}{more}")
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
        # save_file refuses tensors that are not contiguous, as transposed ones are not.
        state[key] = value.contiguous().cpu()
    write_atomically(path, lambda temporary: save_file(state, temporary))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, force to disk, rename over it: a reader never sees half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        # Without it a crash after the rename could leave the new name on an empty file.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        # Half a file of gigabytes would keep a full disk full.
        temporary.unlink(missing_ok=True)
        raise


def read_torch(path: str | Path) -> dict[str, Any]:
    """Return the dict that `torch.save` wrote, on the CPU; mapped into memory where it can be.

    Besides tensors only arrays, scalars and dtypes of NumPy are allowed: PANNs' files hold a
    sampler's arrays, LAION's hold scalars. Raises FileNotFoundError, or ValueError for whatever
    else is in the file (by name), a truncated file, another format and another content.
    """
    import torch

    path = Path(path)
    with open(path, "rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    # The table of a zip is at its end, so that a download that broke off is told apart here.
    if zipped and not zipfile.is_zipfile(path):
        size = path.stat().st_size
        raise ValueError(f"{path} is truncated (at {size} bytes); delete it and fetch it again")
    try:
        # Only a zip stores tensors so that they can be mapped into memory instead of read.
        with torch.serialization.safe_globals(_numpy_names()):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: {_explain_refusal(str(error))}") from error
    except OSError:
        # The disk is at fault, not the file: its own message says more than ours below.
        raise
    except Exception as error:
        # A damaged pickle makes the reader stumble in any way: IndexError, struct.error, ...
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} is no whole PyTorch checkpoint: {first}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; a dict of tensors is expected")
    return content


def _name_nearest(missing: list[str], left_over: list[str]) -> list[str]:
    """Return the names, the first few with what may stand for them in the file."""
    names = []
    for name in missing[:NAMED]:
        near = get_close_matches(name, left_over, n=1, cutoff=0.8)
        names.append(f"{name} (is it {near[0]}?)" if near else name)
    return names + missing[NAMED:]


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


def _explain_refusal(message: str) -> str:
    # torch names the forbidden class as the pickle's GLOBAL, or as what it got in place of its own.
    match = re.search(r"GLOBAL (\S+)|got <class '([^']+)'>", message)
    if match:
        name = (match[1] or match[2]).rstrip(".,")
        return (
            f"refused, its pickle asks for {name}, which could run code; only tensors and NumPy "
            "values are read: get the file from its origin"
        )
    return "no PyTorch checkpoint, or a damaged one; fetch it again"
