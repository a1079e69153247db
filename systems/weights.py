"""Weights files as part of a number's provenance."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def sha256(files: str | Path | Sequence[str | Path]) -> str:
    """Hex digest of a file, or of several in a row. FileNotFoundError when one is missing."""
    paths = [files] if isinstance(files, str | Path) else files
    digest = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()
