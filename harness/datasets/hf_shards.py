"""Tables of recordings as the Hugging Face datasets package keeps them: Arrow or Parquet shards.

They are read with pyarrow alone. Layouts: `save_to_disk` (data-*.arrow, in a folder per split), the
package's own cache (<name>-<split>-*.arrow) and a hub repository (data/<split>-*.parquet).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import StabenchError

ID_COLUMN = "youtube_id"


class Row(NamedTuple):
    """One recording; its audio is taken out of the table when it is asked for."""

    youtube_id: str
    cell: Any

    def audio(self) -> tuple[bytes | None, str | None]:
        """Return the bytes of an audio file, or its name."""
        value = self.cell.as_py() or {}
        return value.get("bytes"), value.get("path")


def list_shards(place: Path, split: str) -> list[Path]:
    """Return the shards of a folder and of those in it: only the split's, if any is named so."""
    files = sorted(
        path
        for pattern in ("*", "*/*")
        for path in place.glob(pattern)
        # The package keeps the results of its own filters beside a table.
        if path.suffix in (".arrow", ".parquet") and not path.name.startswith(("cache-", "indices"))
    )
    # As a word: "test" is in "audiocaps-test.arrow", not in "latest.arrow".
    named = [
        path
        for path in files
        if split in re.split(r"[^a-z]+", str(path.relative_to(place)).lower())
    ]
    return named or files


def rows(shard: Path) -> Iterator[Row]:
    """Yield the rows of one shard. Raises StabenchError when it is damaged or has other columns."""
    import pyarrow as pa

    try:
        for batch in _read_batches(shard):
            ids, cells = batch.columns
            for youtube_id, cell in zip(ids, cells, strict=True):
                yield Row(str(youtube_id.as_py()), cell)
    except (pa.ArrowInvalid, EOFError) as error:
        first = next(iter(str(error).splitlines()), "damaged")
        raise StabenchError(f"table '{shard}' is not whole ({first}); fetch it again") from error


def _read_batches(shard: Path) -> Iterator[Any]:
    """Yield record batches of two columns, id and audio, a few rows at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    if shard.suffix == ".parquet":
        with parquet.ParquetFile(shard) as file:
            columns = _find_columns(shard, file.schema_arrow)
            # Each row holds a whole recording: more of them at once would fill the memory.
            for batch in file.iter_batches(batch_size=32, columns=columns):
                yield batch.select(columns)
        return
    with pa.memory_map(str(shard)) as source:
        # Arrow's stream format, which the package writes, or its file format: the first bytes of
        # the latter tell them apart, their ending does not.
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        with pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source) as reader:
            columns = _find_columns(shard, reader.schema)
            batches = reader
            if is_file:
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            for batch in batches:
                yield batch.select(columns)


def _find_columns(shard: Path, schema: Any) -> list[str]:
    """Return the names of the id column and of the first column that holds audio."""
    import pyarrow as pa

    audio = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and {"bytes", "path"} <= {inner.name for inner in field.type}
    ]
    if ID_COLUMN not in schema.names or not audio:
        raise StabenchError(
            f"table '{shard}': found columns {', '.join(schema.names)}; needs {ID_COLUMN} and one "
            "of audio (a struct of bytes and path)"
        )
    return [ID_COLUMN, audio[0]]
