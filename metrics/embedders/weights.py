"""A folder of weights: `config.json` beside `model.safetensors`, read strictly, known by sha256."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import nn

CONFIG, MODEL = "config.json", "model.safetensors"
Config = TypeVar("Config", bound=BaseModel)


def read_config(folder: Path, model: type[Config]) -> Config:
    """`config.json` of `folder` as `model`. Raises FileNotFoundError or pydantic's error."""
    return model.model_validate_json(_existing(folder, CONFIG).read_text(encoding="utf-8"))


def config_text(folder: Path) -> str:
    """`config.json` of `folder` as it stands. Raises FileNotFoundError."""
    return _existing(folder, CONFIG).read_text(encoding="utf-8")


def sha256(folder: Path) -> str:
    """Hex digest of `model.safetensors`. Raises FileNotFoundError."""
    with _existing(folder, MODEL).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_into(module: nn.Module, folder: Path, derived: Iterable[str] = ()) -> None:
    """Fill `module` with the tensors of `folder`; every name and shape must fit.

    `derived` names tensors that only some checkpoints carry: the module keeps its own.
    Raises FileNotFoundError, or ValueError with the names that do not fit.
    """
    path = _existing(folder, MODEL)
    tensors = load_file(path)
    own = module.state_dict()
    for name in derived:
        tensors.pop(name, None)
    tensors |= {name: own[name] for name in derived if name in own}
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"weights {path} do not fit {type(module).__name__}: "
            f"{' '.join(str(error).split())}; check {CONFIG} beside them"
        ) from error


def save(folder: Path, module: nn.Module, config_json: str) -> None:
    """Write both files, each atomically, so that a reader never sees half a network."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in module.state_dict().items()}
    save_file(tensors, folder / f"{MODEL}.new")
    (folder / f"{CONFIG}.new").write_text(config_json, encoding="utf-8")
    for name in (MODEL, CONFIG):
        os.replace(folder / f"{name}.new", folder / name)


def _existing(folder: Path, name: str) -> Path:
    path = Path(folder) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"weights file {path} is missing; a weights folder holds {CONFIG} and {MODEL}"
        )
    return path
