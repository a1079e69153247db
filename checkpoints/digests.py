"""Digests of large files, kept beside their size and time so that each is hashed once."""

import hashlib
from contextlib import suppress
from pathlib import Path

from checkpoints import ledger
from checkpoints.cache import cache_folder


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file. Raises OSError when it cannot be read.

    The kept value holds while size and modification time (ns) stay what they were.
    """
    key, state = _state(path)
    row = _kept().get(key, {})
    if row.get("state") == state and algorithm in row:
        return row[algorithm]
    with open(path, "rb") as file:
        value = hashlib.file_digest(file, algorithm).hexdigest()
    if _state(path) == (key, state):
        remember(path, value, algorithm)
    return value


def remember(path: Path, value: str, algorithm: str = "sha256") -> None:
    """Keep a digest that was just computed of `path` as it is."""
    key, state = _state(path)
    # A cache that cannot be kept costs time, not truth.
    with suppress(OSError, ValueError):
        row = _kept().get(key, {})
        same = row if row.get("state") == state else {}
        ledger.note(_cache(), {key: {**same, "state": state, algorithm: value}})


def _state(path: Path) -> tuple[str, list[int]]:
    real = path.resolve()
    about = real.stat()
    return str(real), [about.st_size, about.st_mtime_ns]


def _kept() -> dict[str, dict]:
    with suppress(OSError, ValueError):
        return {key: row for key, row in ledger.read(_cache()).items() if isinstance(row, dict)}
    return {}


def _cache() -> Path:
    return cache_folder() / "weights" / "digests.json"
