"""Files that are either whole or not there: temporary file, fsync, rename."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from stabench.harness.formatting import replace_unwritable

# Suffix of a file still in the writing; a killed writer may leave one, a resumed run sweeps it.
TEMPORARY = ".part"


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step; two writers at once leave one whole file of either."""
    # Beside its target: a rename is one step only within one file system.
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, the same bytes for the same value."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # Whatever a system or a file's name says, the file stays readable.
    write_bytes(path, (replace_unwritable(text) + "\n").encode())


def point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, replacing an older link in one step.

    Raises OSError where links cannot be made, or where a folder has the name; leaves no litter.
    """
    part = link.with_name(f".{link.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
    os.symlink(target, part)
    try:
        os.replace(part, link)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, by their place in it, as `folder`; an older one goes when all are written."""
    place = folder.resolve()
    name = f".{place.name}.{secrets.token_hex(4)}"
    part, old = (place.with_name(f"{name}{end}{TEMPORARY}") for end in ("", ".old"))
    try:
        for where, content in files.items():
            path = part / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    # A folder that holds files cannot be replaced in one step, as a file can.
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)
