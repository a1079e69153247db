"""`prepared.json`: what was prepared, of what, and whether it is what a recipe asks for."""

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import stabench
from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.files import write_json
from stabench.harness.prepare.recipe import Data
from stabench.harness.schema import Strict, first_key
from stabench.harness.suites.suite import difference

FORMAT = 1
RECORD, CLIPS, FAILED = "prepared.json", "clips.parquet", "failed.jsonl"
PACKAGES = ("numpy", "pyarrow", "torch", "transformers", "diffusers")


class Store(Strict):
    """One store: its folder in that of the split, what it was made by, and how much it holds."""

    folder: str
    use: str
    digest: str
    contents: int
    index_sha256: str


class Prepared(Strict):
    """One split. `features` are STAR's encoder first, then the others in the recipe's order."""

    csv_sha256: str
    # The first so many clips of the CSV; None: all.
    limit: int | None
    clips: int
    failed: int
    # Clips without labels, and clips with those of a segment that begins elsewhere.
    unlabelled: int
    other_start: int
    voice_sha256: str
    voice_rate_hz: int
    clips_sha256: str
    features: tuple[Store, ...]
    latents: Store | None


class Record(Strict):
    """All splits that were made of one `[data]` table."""

    format: int = FORMAT
    data: Data
    versions: dict[str, str]
    splits: dict[str, Prepared]


def list_versions() -> dict[str, str]:
    """Return the versions of what computed the features."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"stabench": stabench.__version__, **versions}


def add_split(folder: Path, data: Data, split: str, prepared: Prepared) -> Record:
    """Write a split into the folder's record; those made of another table leave it."""
    kept: dict[str, Prepared] = {}
    if (folder / RECORD).exists():
        record = _read(folder)
        kept = record.splits if record.data == data else {}
    record = Record(data=data, versions=list_versions(), splits={**kept, split: prepared})
    write_json(folder / RECORD, record.model_dump(mode="json"))
    return record


def read_prepared(folder: Path, data: Data, split: str) -> Prepared:
    """Return a split whose files are those that the recipe's `[data]` table asks for.

    Raises MissingError for one that is not there or not whole, StabenchError where the table has
    changed since, naming the key.
    """
    record = _read(folder)
    then, now = (table.model_dump(mode="json") for table in (record.data, data))
    if changed := difference(then, now, "data"):
        raise StabenchError(f"'{folder / RECORD}': made of another recipe: {changed}; {ADVICE}")
    if split not in record.splits:
        raise MissingError(f"'{folder}': {unknown('split', split, record.splits)}; {ADVICE}")
    prepared = record.splits[split]
    files = {CLIPS: prepared.clips_sha256}
    for store in (*prepared.features, *filter(None, [prepared.latents])):
        files[f"{store.folder}/index.arrow"] = store.index_sha256
    for name, sha256 in files.items():
        path = folder / split / name
        if not path.is_file() or compute_sha256(path) != sha256:
            raise MissingError(f"'{path}': not what '{RECORD}' lists; {ADVICE}")
    return prepared


ADVICE = "run: stabench prepare"


def compute_sha256(path: Path) -> str:
    """Return the hex sha256 of a small file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(folder: Path) -> Record:
    path = folder / RECORD
    try:
        value: Any = path.read_text("utf-8")
        return Record.model_validate_json(value)
    except FileNotFoundError:
        raise MissingError(f"'{path}': no such file; {ADVICE}") from None
    except ValidationError as error:
        raise StabenchError(f"'{path}': {first_key(error)}; delete it and {ADVICE}") from None
