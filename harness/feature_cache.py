"""Features kept on disk by content, so that scoring again is quick and gives the same bits.

A feature is found by the sound itself (sha256 of its samples, and their rate) in the file of one
network (sha256 of its weights): new audio or new weights never meet old features.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from harness import atomic
from harness.errors import StabenchError
from metrics.contract import Features


class FeatureCache:
    """Features of one network by key, in `<folder>/<name>-<digest of identity>.npz`.

    Without a folder they live in memory only. Raises StabenchError for a file that is damaged.
    """

    def __init__(self, folder: Path | None, name: str, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-60:]
        self.path = folder and folder / f"{safe}-{digest}.npz"
        self._features: dict[str, Features] = {}
        self._unsaved = False
        if self.path and self.path.exists():
            self._features = _read(self.path)

    def __contains__(self, key: str) -> bool:
        return key in self._features

    def __getitem__(self, key: str) -> Features:
        return self._features[key]

    def __setitem__(self, key: str, features: Features) -> None:
        self._features[key] = features
        self._unsaved = True

    def save(self) -> None:
        """Write what is new, atomically."""
        if self.path and self._unsaved:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(self.path, _bytes(self._features))
        self._unsaved = False


def _bytes(features: dict[str, Features]) -> bytes:
    """Arrays: keys [K], frames [K], embeddings [sum of frames, D], and logits [K, C] if any."""
    values = list(features.values())
    arrays = {
        "keys": np.array(list(features)),
        "frames": np.array([len(value.embeddings) for value in values]),
        "embeddings": np.concatenate([value.embeddings for value in values]),
    }
    if values[0].logits is not None:
        arrays["logits"] = np.stack([value.logits for value in values])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read(path: Path) -> dict[str, Features]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        ends = np.cumsum(arrays["frames"])
        embeddings = np.split(arrays["embeddings"], ends[:-1])
        logits = arrays.get("logits", [None] * len(ends))
        found = zip(arrays["keys"].tolist(), embeddings, logits, strict=True)
        return {key: Features(rows, classes) for key, rows, classes in found}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StabenchError(
            f"kept features '{path}' cannot be read ({error}); remove the file"
        ) from error
