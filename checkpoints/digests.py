"""Digests of large files, kept beside their size and time so that each is hashed once."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stabench.checkpoints.cache import cache_folder


def read(path: Path) -> dict[str, Any]:
    """What was noted; nothing when the file is not there. Raises ValueError when it is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no JSON object; repair it, or delete it to begin a new one")
    return values


def note(path: Path, values: Mapping[str, Any]) -> None:
    """Add or replace values: under a lock, and by rename, so that a reader never sees half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock")):
        text = json.dumps({**read(path), **values}, indent=1, sort_keys=True) + "\n"
        part = path.with_name(f".{path.name}.part")
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # The lock keeps writers apart; readers take none, so they must meet a whole file.
        os.replace(part, path)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; raises BlockingIOError when it is held and `wait` is False.

    The file stays: removing it would let two processes hold two files of one name.
    """
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file. Raises OSError when it cannot be read.

    The kept value holds while size and modification time (ns) stay what they were.
    """
    key, state = _state(path)
    row = _read_rows().get(key, {})
    if row.get("state") == state and algorithm in row:
        return row[algorithm]
    with open(path, "rb") as file:
        value = hashlib.file_digest(file, algorithm).hexdigest()
    # A file that changed while it was read has no digest worth keeping.
    if _state(path) == (key, state):
        remember(path, value, algorithm)
    return value


def sha256(files: str | Path | Sequence[str | Path]) -> str:
    """Return the hex digest of a file, or of several in a row, read anew.

    Raises FileNotFoundError when one is missing.
    """
    hasher = hashlib.sha256()
    for path in [files] if isinstance(files, str | Path) else files:
        with Path(path).open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                hasher.update(block)
    return hasher.hexdigest()


def remember(path: Path, value: str, algorithm: str = "sha256") -> None:
    """Keep a digest that was just computed of `path` as it is."""
    key, state = _state(path)
    # A cache that cannot be kept costs time, not truth.
    with suppress(OSError, ValueError):
        row = _read_rows().get(key, {})
        # A row keeps both algorithms' digests of one state; in another state neither holds.
        same = row if row.get("state") == state else {}
        note(_cache(), {key: {**same, "state": state, algorithm: value}})


def _state(path: Path) -> tuple[str, list[int]]:
    # The hub's cache holds links to blobs: one file under several names is hashed once.
    real = path.resolve()
    about = real.stat()
    return str(real), [about.st_size, about.st_mtime_ns]


def _read_rows() -> dict[str, dict]:
    with suppress(OSError, ValueError):
        return {key: row for key, row in read(_cache()).items() if isinstance(row, dict)}
    return {}


def _cache() -> Path:
    return cache_folder() / "weights" / "digests.json"
