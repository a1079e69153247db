"""A small JSON object on disk that several processes may add to."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
        os.replace(part, path)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; raises BlockingIOError when it is held and `wait` is False.

    The file stays: removing it would let two processes hold two files of one name.
    """
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
