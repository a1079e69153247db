"""A folder of weights: `config.json` beside `model.safetensors`, read strictly, known by sha256."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CONFIG, MODEL = "config.json", "model.safetensors"
# What older folders of the hub hold instead of MODEL.
PICKLED = "pytorch_model.bin"
NAMED = 3
Config = TypeVar("Config", bound=BaseModel)


def read_config(folder: Path, model: type[Config]) -> Config:
    """Read `config.json` of `folder` as `model`. Raises FileNotFoundError or pydantic's error."""
    return model.model_validate_json(config_text(folder))


def config_text(folder: Path) -> str:
    """Read `config.json` of `folder`, unparsed. Raises FileNotFoundError."""
    return _require(folder, CONFIG).read_text(encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the hex digest of a file, or of the tensors' file of a folder.

    Raises FileNotFoundError.
    """
    with tensors_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights folder by name.

    Raises FileNotFoundError, ValueError if damaged.
    """
    path = tensors_file(path)
    if path.suffix != ".safetensors":
        from stabench.checkpoints.torch_file import read

        return read(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"weights {path} cannot be read ({error}); fetch the file again"
        ) from error


def tensors_file(path: Path) -> Path:
    """Return `path` if it is a file, else the weights file inside the folder.

    Raises FileNotFoundError.
    """
    if path.is_file():
        return path
    if not (path / MODEL).is_file() and (path / PICKLED).is_file():
        return path / PICKLED
    return _require(path, MODEL)


def load_into(module: nn.Module, folder: Path, derived: Iterable[str] = ()) -> None:
    """Do `fill` with the tensors of `folder`. Raises FileNotFoundError, ValueError."""
    fill(module, tensors(folder), str(tensors_file(folder)), derived)


def fill(
    module: nn.Module, tensors: Mapping[str, Tensor], where: str, derived: Iterable[str] = ()
) -> None:
    """Fill `module`; every name and shape must fit. `where` they come from is for the message.

    `derived` names tensors that only some checkpoints carry: the module keeps its own.
    Raises ValueError with the names that do not fit.
    """
    expected, derived = module.state_dict(), set(derived)
    chosen = {name: tensor for name, tensor in tensors.items() if name not in derived}
    chosen |= {name: expected[name] for name in derived if name in expected}
    misfits = _list_misfits(expected, chosen)
    if misfits:
        raise ValueError(
            f"weights {where} do not fit {type(module).__name__}: {'; '.join(misfits)}; "
            "check that the file is the one that is meant"
        )
    module.load_state_dict(chosen)


def _list_misfits(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what keeps `tensors` from being those `expected`, a phrase for each kind."""
    other = [name for name, tensor in tensors.items() if not isinstance(tensor, Tensor)]
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    shapes = [
        f"{name} is {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    kinds = {
        "missing ": [name for name in expected if name not in tensors],
        "left over ": [name for name in tensors if name not in expected],
        "no tensors ": other,
        "": shapes,
    }
    phrases = []
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            phrases.append(f"{kind}{', '.join(names[:NAMED])}{more}")
    return phrases


def save(folder: Path, module: nn.Module, config_json: str) -> None:
    """Write both files, each atomically, so that a reader never sees half a network."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in module.state_dict().items()}
    save_file(tensors, folder / f"{MODEL}.new")
    (folder / f"{CONFIG}.new").write_text(config_json, encoding="utf-8")
    for name in (MODEL, CONFIG):
        os.replace(folder / f"{name}.new", folder / name)


def _require(folder: Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"weights file {path} is missing; a weights folder holds {CONFIG} and {MODEL}"
        )
    return path
