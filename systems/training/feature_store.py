"""Features of clips in a folder: float16, in Arrow files that are mapped into memory.

A store holds what one network makes of clips, once for each content (a sha256), however many clips
have it. Adding clips adds files. `store.json` says what the features are made by, `index.arrow`
which content each clip has; 49,838 clips of 200 frames by 1024 are 20 GB on disk and take little
memory, for only what a batch asks for is read. Any number of processes may read at once.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from stabench.checkpoints.tensors import read_json
from stabench.systems.training.device import send

FORMAT = 1
STORE, INDEX = "store.json", "index.arrow"
# Encoder frames [T, W], or the posterior of a sound's latents, each [C, T].
Kind = Literal["frames", "latents"]
COLUMNS: dict[str, tuple[str, ...]] = {"frames": ("frames",), "latents": ("mean", "std")}
# Contents of a shard: 128 of 200 frames by 1024 are 52 MB, which is what a killed writer loses.
SHARD_SIZE = 128
MOST = float(np.finfo(np.float16).max)
TEMPORARY = ".part"


class Entry(NamedTuple):
    """What is stored of one content (hex sha256): an array for each column, steps T of each.

    `name` is what an error calls it.
    """

    content: str
    name: str
    steps: int
    arrays: tuple[np.ndarray, ...]


class _Shard(NamedTuple):
    """One file: contents, their steps, and for each column where a row begins, and all values."""

    contents: list[bytes]
    steps: np.ndarray
    columns: tuple[tuple[np.ndarray, np.ndarray], ...]

    def row(self, column: int, number: int) -> np.ndarray:
        """Return the values of one content, [sum of all axes], without a copy."""
        offsets, values = self.columns[column]
        return values[offsets[number] : offsets[number + 1]]


def compute_digest(kind: Kind, source: Mapping[str, Any]) -> str:
    """Return the hex sha256 of what features are made by; stores of equal digests are equal."""
    text = json.dumps([FORMAT, kind, source], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class StoreWriter:
    """Writes a store: makes it, or goes on with one that was left unfinished.

    A shard that is not whole is deleted, so that its contents are missing again (`torn` counts
    them). Raises ValueError when the folder holds features that something else made.
    """

    def __init__(self, folder: Path, kind: Kind, source: Mapping[str, Any]) -> None:
        self.folder, self.kind = folder, kind
        self.digest = compute_digest(kind, source)
        self.torn = 0
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f".*{TEMPORARY}"):
            path.unlink()
        if (folder / STORE).exists():
            _check_record(folder, kind, self.digest)
        else:
            record = {"format": FORMAT, "kind": kind, "digest": self.digest, "source": source}
            text = json.dumps(record, indent=1, sort_keys=True) + "\n"
            _write(folder / STORE, lambda file: file.write(text.encode()))
        self._kept: set[bytes] = set()
        for path in _list_shards(folder):
            try:
                self._kept.update(_open_shard(path, kind).contents)
            except pa.ArrowInvalid:
                path.unlink()
                self.torn += 1

    def is_stored(self, content: str) -> bool:
        """Return whether the features of a content are there."""
        return bytes.fromhex(content) in self._kept

    def add(self, entries: Sequence[Entry]) -> None:
        """Write one shard. Raises ValueError, naming the entry, for what float16 cannot hold."""
        columns = [_to_half(entries, column, self.kind) for column in range(len(self._names))]
        arrays = [
            pa.array([bytes.fromhex(entry.content) for entry in entries], pa.binary(32)),
            pa.array([entry.steps for entry in entries], pa.int32()),
        ]
        for rows in columns:
            offsets = np.cumsum([0, *(row.size for row in rows)])
            arrays.append(pa.LargeListArray.from_arrays(offsets, np.concatenate(rows)))
        batch = pa.record_batch(arrays, ["content", "steps", *self._names])
        taken = {path.name for path in _list_shards(self.folder)}
        # The lowest free number: a shard that is made again gets the name that it had.
        numbers = (f"{number:05}.arrow" for number in range(len(taken) + 1))
        name = next(name for name in numbers if name not in taken)
        _write_batch(self.folder / name, batch)
        self._kept.update(bytes.fromhex(entry.content) for entry in entries)

    def finish(self, contents: Sequence[str]) -> None:
        """Write the index: the content of every clip, in the clips' order.

        Raises ValueError when features of one are not there.
        """
        absent = [content for content in contents if not self.is_stored(content)]
        if absent:
            raise ValueError(f"{self.folder}: {len(absent)} of {len(contents)} contents are absent")
        column = pa.array([bytes.fromhex(content) for content in contents], pa.binary(32))
        _write_batch(self.folder / INDEX, pa.record_batch([column], ["content"]))

    @property
    def _names(self) -> tuple[str, ...]:
        return COLUMNS[self.kind]


class _Stored:
    """Rows of a finished store by the number of a clip."""

    def __init__(
        self, folder: Path, kind: Kind, device: torch.device, digest: str | None = None
    ) -> None:
        _check_record(folder, kind, digest)
        if not (folder / INDEX).is_file():
            raise FileNotFoundError(f"{folder}: not finished; run: stabench prepare")
        self.device = device
        try:
            self._shards = [_open_shard(path, kind) for path in _list_shards(folder)]
            contents = _open_batch(folder / INDEX).column("content").to_pylist()
        except pa.ArrowInvalid as error:
            raise ValueError(f"{folder}: {error}; run: stabench prepare") from error
        places = {
            content: (number, row)
            for number, shard in enumerate(self._shards)
            for row, content in enumerate(shard.contents)
        }
        try:
            self._places = [places[content] for content in contents]
        except KeyError as error:
            raise ValueError(f"{folder}: a shard is missing; run: stabench prepare") from error

    def __len__(self) -> int:
        return len(self._places)

    def _rows(self, index: np.ndarray) -> Iterator[tuple[_Shard, int]]:
        for clip in index:
            number, row = self._places[clip]
            yield self._shards[number], row

    def _steps(self, index: np.ndarray) -> np.ndarray:
        return np.array([shard.steps[row] for shard, row in self._rows(index)])


class StoredFrames(_Stored):
    """Encoder frames of a split, in any order (systems.training.data.Frames)."""

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return frames float32 [B, T, W], zero-padded, and their mask bool [B, T]."""
        steps = self._steps(index)
        rows = [shard.row(0, row).reshape(shard.steps[row], -1) for shard, row in self._rows(index)]
        frames = np.zeros((len(rows), steps.max(), rows[0].shape[1]), np.float16)
        for place, values in zip(frames, rows, strict=True):
            place[: len(values)] = values
        mask = np.arange(steps.max()) < steps[:, None]
        # Sent as they are stored: half of the bytes.
        return send(frames, self.device).float(), send(mask, self.device)


class StoredLatents(_Stored):
    """Posteriors of a split's sounds, in any order (systems.training.data.Latents)."""

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw latents float32 [B, C, T], zero-padded; their mask bool [B, T], or None for all."""
        steps = self._steps(index)
        mean, std = (self._pad(column, index, steps.max()) for column in range(2))
        noise = send(rng.standard_normal(mean.shape, dtype=np.float32), self.device)
        mask = np.arange(steps.max()) < steps[:, None]
        # Beyond a sound's end mean and std are zero, and so are its latents.
        return mean + std * noise, None if mask.all() else send(mask, self.device)

    def _pad(self, column: int, index: np.ndarray, longest: int) -> Tensor:
        rows = [
            shard.row(column, row).reshape(-1, shard.steps[row]) for shard, row in self._rows(index)
        ]
        padded = np.zeros((len(rows), len(rows[0]), longest), np.float16)
        for place, values in zip(padded, rows, strict=True):
            place[:, : values.shape[1]] = values
        return send(padded, self.device).float()


def open_frames(
    folder: str | Path, device: torch.device, digest: str | None = None
) -> StoredFrames:
    """Return the frames in a folder; `digest` is that of the encoder which they should be of.

    Raises FileNotFoundError for a folder without a finished store, ValueError for one of another
    kind or digest, or with damaged files.
    """
    return StoredFrames(Path(folder), "frames", device, digest)


def open_latents(
    folder: str | Path, device: torch.device, digest: str | None = None
) -> StoredLatents:
    """Return the latents in a folder; raises as `open_frames` does."""
    return StoredLatents(Path(folder), "latents", device, digest)


def _check_record(folder: Path, kind: Kind, digest: str | None) -> None:
    path = folder / STORE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; make the features with: stabench prepare")
    record = read_json(path)
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{path}: format is {record.get('format')!r}, this stabench reads {FORMAT}"
        )
    if record.get("kind") != kind:
        raise ValueError(f"{path}: holds {record.get('kind')}, expected {kind}; give its folder")
    if digest is not None and record.get("digest") != digest:
        raise ValueError(
            f"{path}: features of digest {str(record.get('digest'))[:12]}, expected {digest[:12]}; "
            "they are of another encoder, other options or weights: run stabench prepare"
        )


def _to_half(entries: Sequence[Entry], column: int, kind: Kind) -> list[np.ndarray]:
    """Return the values of a column as flat float16 rows."""
    rows = []
    for entry in entries:
        values = np.asarray(entry.arrays[column], np.float32)
        what = f"'{entry.name}': its {COLUMNS[kind][column]}"
        if not entry.steps or not values.size or values.size % entry.steps:
            raise ValueError(f"{what} has shape {values.shape}, expected {entry.steps} steps")
        if not np.isfinite(values).all():
            raise ValueError(f"{what} holds NaN or infinity; check the network's weights")
        if (largest := float(np.abs(values).max())) > MOST:
            raise ValueError(
                f"{what} reaches {largest:.4g}, float16 holds up to {MOST:g}; check the weights"
            )
        rows.append(values.astype(np.float16).ravel())
    return rows


def _list_shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.arrow"))


def _open_shard(path: Path, kind: Kind) -> _Shard:
    """Return a shard, mapped into memory. Raises pa.ArrowInvalid for one that is not whole."""
    batch = _open_batch(path)
    columns = []
    for name in COLUMNS[kind]:
        column = batch.column(name)
        columns.append((column.offsets.to_numpy(), column.values.to_numpy()))
    steps = batch.column("steps").to_numpy()
    return _Shard(batch.column("content").to_pylist(), steps, tuple(columns))


def _open_batch(path: Path) -> Any:
    # The arrays hold on to the mapping, which ends with the last of them.
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    if reader.num_record_batches != 1:
        raise pa.ArrowInvalid(f"{path.name} holds {reader.num_record_batches} batches, expected 1")
    return reader.get_batch(0)


def _write_batch(path: Path, batch: Any) -> None:
    def write(file: Any) -> None:
        with pa.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)

    _write(path, write)


def _write(path: Path, write: Any) -> None:
    """Write beside `path`, force to disk, rename over it; a full disk leaves nothing behind."""
    part = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
