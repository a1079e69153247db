"""influence.parquet: the share of each clip in the columns that belong to a set as a whole.

A distance between sets has no value of one clip, but scoring knows what each clip adds to it
(metrics/sets.py). Kept beside metrics.json, the shares let a later run be compared with this
one clip by clip. Clips that share a recording are one group, under the id of its first clip.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stabench.harness.errors import StabenchError

NAME = "influence.parquet"
# Begins the key of a group that holds a recording and no clip; no clip's id has a slash.
RECORDING = "recording/"

# System, column, group -> share. The shares of a column sum to 0.
Shares = dict[str, dict[str, dict[str, float]]]


class Influences(NamedTuple):
    """Shares, the `values` by system and column that they belong to, and the key of each clip that
    is in a group with others."""

    shares: Shares
    values: dict[str, dict[str, float]]
    groups: dict[str, str]


def to_bytes(influences: Influences) -> bytes:
    """Return the file: columns system, column, clip, share; values and groups in its metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"system": system, "column": column, "clip": clip, "share": share}
        for system, columns in influences.shares.items()
        for column, shares in columns.items()
        for clip, share in shares.items()
    ]
    text = pa.string()
    types = {"system": text, "column": text, "clip": text, "share": pa.float64()}
    texts = {"values": json.dumps(influences.values), "groups": json.dumps(influences.groups)}
    table = pa.Table.from_pylist(rows, schema=pa.schema(types.items(), metadata=texts))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read(folder: Path) -> Influences | None:
    """Return the shares kept in `folder`, or None without any.

    Raises StabenchError for another file.
    """
    path = folder / NAME
    if not path.exists():
        return None
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # By its path: with a buffer of Python's, Arrow's threads can abort the end of the process.
        with parquet.ParquetFile(path) as file:
            table = file.read()
        texts = table.schema.metadata or {}
        values, groups = (json.loads(texts[key]) for key in (b"values", b"groups"))
        shares: Shares = {}
        for system, column, clip, share in zip(
            *(table[name].to_pylist() for name in ("system", "column", "clip", "share")),
            strict=True,
        ):
            shares.setdefault(system, {}).setdefault(column, {})[clip] = share
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StabenchError(f"{path}: not an influence file ({error}); score again") from None
    return Influences(shares, values, groups)


def keys(clips: Mapping[str, int], recordings: Mapping[str, int], count: int) -> list[str]:
    """Return the key of each group 0 to `count` - 1: its first clip by name, or its recording."""
    names: dict[int, str] = {}
    for clip in sorted(clips):
        names.setdefault(clips[clip], clip)
    # After the clips: only a group without any takes the name of its recording.
    for name in sorted(recordings):
        names.setdefault(recordings[name], RECORDING + name)
    return [names[index] for index in range(count)]
