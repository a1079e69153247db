"""A STAR folder on disk: config.json and one safetensors file per part, read strictly."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stabench.checkpoints.tensors import (
    CONFIG,
    fill_network,
    read_tensors,
    save_tensors,
    write_atomically,
)
from stabench.systems.networks.config import to_dict

save_part = save_tensors


def part_file(folder: Path, part: str) -> Path:
    """Return where `part` ("speech_encoder", "bridge", "udit", "vae") lies in a STAR folder."""
    return folder / f"{part}.safetensors"


def write_config(folder: Path, config: Any) -> None:
    """Write config.json atomically; `config` is a dataclass such as StarConfig."""
    text = json.dumps(to_dict(config), indent=2) + "\n"
    write_atomically(folder / CONFIG, lambda path: path.write_text(text, encoding="utf-8"))


def load_part(path: Path | Sequence[Path], module: nn.Module) -> None:
    """Fill a module from a file: the same keys and shapes, cast to the module's dtype.

    Of several files a later one overrules an earlier one, so that fine-tuned networks can share
    what they have in common. Raises FileNotFoundError and ValueError as `read_tensors` and
    `fill_network` do; the message names the (last) file.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    state: dict[str, Tensor] = {}
    for file in paths:
        state |= read_tensors(file)
    fill_network(module, state, paths[-1])
