"""A folder of weights: `config.json` beside `model.safetensors`, read strictly, known by sha256."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from torch import nn

from stabench.checkpoints import digests
from stabench.checkpoints.tensors import (
    CONFIG,
    MODEL,
    fill_network,
    find_tensors_file,
    read_tensors,
    save_tensors,
    write_atomically,
)

Config = TypeVar("Config", bound=BaseModel)


def read_config(folder: Path, model: type[Config]) -> Config:
    """Return `config.json` of `folder` as `model`. Raises FileNotFoundError or pydantic's error."""
    return model.model_validate_json(config_text(folder))


def config_text(folder: Path) -> str:
    """Return `config.json` of `folder` as it stands. Raises FileNotFoundError."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"weights file {path} is missing; a weights folder holds {CONFIG} and {MODEL}"
        )
    return path.read_text(encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the hex digest of a file, or of the tensors' file of a folder.

    Raises FileNotFoundError.
    """
    return digests.sha256(find_tensors_file(path))


def load_into(module: nn.Module, folder: Path, derived: Iterable[str] = ()) -> None:
    """Fill `module` with the tensors of `folder`. Raises FileNotFoundError, ValueError."""
    fill_network(module, read_tensors(folder), find_tensors_file(folder), derived)


def save(folder: Path, module: nn.Module, config_json: str) -> None:
    """Write both files, each atomically, so that a reader never sees half a network."""
    save_tensors(folder / MODEL, module)
    write_atomically(folder / CONFIG, lambda path: path.write_text(config_json, encoding="utf-8"))
