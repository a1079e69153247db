"""Which clips' sounds are in a package: drawn by the hash of everything that was claimed before.

The hashes of all outputs, the features and the journal are fixed first; their digest then orders
the clips. Who changes a claim gets another sample. A team can still try packages until a sample
suits it (of 144 clips, half of them made up, one draw of 16 in about 170,000 misses them all):
a sample is a first check, and a place on the board needs all sounds.
"""

import hashlib
from collections.abc import Iterable, Mapping

SAMPLE = 16
"""Clips of a sample."""


def root(outputs: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Digest of the outputs' sha256 by clip and the files' by name, hex."""
    claims = [("clip", *pair) for pair in outputs.items()]
    claims += [("file", *pair) for pair in files.items()]
    text = "".join("\0".join(claim) + "\n" for claim in sorted(claims))
    return hashlib.sha256(text.encode()).hexdigest()


def drawn(root: str, clips: Iterable[str], size: int) -> tuple[str, ...]:
    """`size` of the clips, or all when there are no more, sorted; nobody chooses them."""
    ordered = sorted(clips, key=lambda clip: hashlib.sha256(f"{root} {clip}".encode()).digest())
    return tuple(sorted(ordered[:size]))
