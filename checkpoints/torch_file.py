"""PyTorch checkpoints of others: tensors and NumPy values are read, nothing else is unpickled."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

ZIP = b"PK\x03\x04"
CORES = ("numpy._core.multiarray", "numpy.core.multiarray")
"""The module of NumPy's constructors, as NumPy 2 and NumPy 1 write it into a pickle."""
UNSAFE_DTYPES = {"ObjectDType", "StringDType", "VoidDType"}


def read(path: str | Path) -> dict[str, Any]:
    """The dict that `torch.save` wrote, on the CPU; mapped into memory where the format allows.

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


def _is_zip(path: Path) -> bool:
    """Whether it is in the zip format of today. Raises ValueError when that zip has no end."""
    with open(path, "rb") as file:
        begins = file.read(len(ZIP)) == ZIP
    if begins and not zipfile.is_zipfile(path):
        size = path.stat().st_size
        raise ValueError(f"{path} is truncated (at {size} bytes); delete it and fetch it again")
    return begins


def _numpy_names() -> list[Any]:
    """What may be constructed, each under the names that both major versions of NumPy write."""
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
    found = re.search(r"GLOBAL (\S+)|got <class '([^']+)'>", message)
    if found:
        name = (found[1] or found[2]).rstrip(".,")
        return (
            f"refused, its pickle asks for {name}, which could run code; only tensors and NumPy "
            "values are read: get the file from its origin"
        )
    return "no PyTorch checkpoint, or a damaged one; fetch it again"
