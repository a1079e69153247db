"""Features kept on disk by content, so that scoring again is quick and gives the same bits.

A feature is found by the sound itself (sha256 of its samples, and their rate) in the file of one
network as it hears (weights, front end, protocol's rule, resampler, torch, processor): new audio,
new weights or another rule never meet old features. A file is an SQLite database: what a killed
run had heard stays, and two runs may share it.
"""

import hashlib
import sqlite3
import weakref
from pathlib import Path

import numpy as np

from harness.errors import StabenchError
from metrics.contract import Features

TABLE = (
    "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, frames INT, rows BLOB, logits BLOB)"
)
WAIT_S = 60.0
"""How long one run waits for another that is writing."""


class FeatureCache:
    """Features of one network by key, in `<folder>/<name>-<digest of identity>.sqlite`.

    Without a folder they live in memory only. Raises StabenchError for a file that is damaged or
    cannot be written.
    """

    def __init__(self, folder: Path | None, name: str, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[-60:]
        self.path = folder and folder / f"{safe}-{digest}.sqlite"
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path or ":memory:", timeout=WAIT_S)
            weakref.finalize(self, self._database.close)
            self._database.execute(TABLE)
        except (sqlite3.Error, OSError) as error:
            raise self._refused(error) from error

    def __contains__(self, key: str) -> bool:
        return self._row("SELECT 1 FROM features WHERE key = ?", key) is not None

    def __getitem__(self, key: str) -> Features:
        """Raises KeyError for a sound that was not heard."""
        row = self._row("SELECT frames, rows, logits FROM features WHERE key = ?", key)
        if row is None:
            raise KeyError(key)
        frames, embeddings, logits = row
        table = np.frombuffer(embeddings, "<f4").reshape(frames, -1)
        return Features(table, None if logits is None else np.frombuffer(logits, "<f4"))

    def update(self, found: dict[str, Features]) -> None:
        """Keep features, all or none of them."""
        lines = [
            (key, len(one.embeddings), _blob(one.embeddings), _blob(one.logits))
            for key, one in found.items()
        ]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT OR REPLACE INTO features VALUES (?,?,?,?)", lines
                )
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _row(self, query: str, key: str) -> tuple | None:
        try:
            return self._database.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> StabenchError:
        return StabenchError(
            f"kept features '{self.path}' cannot be read or written ({error}); remove the file, or "
            "set STABENCH_CACHE to a folder with room"
        )


def _blob(array: np.ndarray | None) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, "<f4").tobytes()
