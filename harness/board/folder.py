"""A folder of files, put in its place whole."""

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness import atomic


def put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, by their place in it, as `folder`; an older one goes when all are written."""
    place = folder.resolve()
    name = f".{place.name}.{secrets.token_hex(4)}"
    part, old = (place.with_name(f"{name}{end}{atomic.TEMPORARY}") for end in ("", ".old"))
    try:
        for where, content in files.items():
            path = part / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if place.exists():
        place.rename(old)
    part.rename(place)
    shutil.rmtree(old, ignore_errors=True)
