"""The clips of a prepared split as training reads them: ids, captions, AudioSet's labels."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor

from stabench.systems.training.device import send


class Labels(NamedTuple):
    """What stage 1 learns: `targets` float32 [N, C], 0 or 1, of all clips of the split, on the
    device; `clips` int64, the numbers of those that take part; `names` of the C classes."""

    targets: Tensor
    clips: np.ndarray
    names: tuple[str, ...]


def read_clips(path: str | Path, *columns: str) -> dict[str, list]:
    """Return columns of a `clips.parquet` (all without a name), a value for each clip.

    Raises FileNotFoundError without the file, ValueError for another one.
    """
    table = _read(Path(path), list(columns) or None)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def open_labels(path: str | Path, device: torch.device) -> Labels:
    """Return the labels in a `clips.parquet`.

    Raises FileNotFoundError without the file, ValueError for one that was prepared without labels.
    """
    table = _read(Path(path), ["labels", "stage1"])
    names = json.loads(table.schema.metadata[b"classes"]).get("names", [])
    clips = np.flatnonzero(table.column("stage1").to_numpy())
    if not len(names) or not len(clips):
        raise ValueError(f"{path}: no clip has labels; add [data.labels] and run stabench prepare")
    targets = np.zeros((len(table), len(names)), np.float32)
    for row, labels in enumerate(table.column("labels").to_pylist()):
        targets[row, labels or []] = 1
    return Labels(send(targets, device), clips, tuple(names))


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run: stabench prepare")
    try:
        return parquet.read_table(path, columns=columns)
    except pa.ArrowInvalid as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{path}: {first}; run: stabench prepare") from error
