"""A dataset: an ordered, versioned list of clips; and the simplest one, a folder of WAV files."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from stabench.harness.errors import MissingError, StabenchError


@dataclass(frozen=True)
class Clip:
    """One test item. `id` names its files; `caption` is the true text; `labels` what is heard.

    `judged_by` are the captions that outputs are compared with, where that is not `caption` alone.
    `steps` say when the events sound: those of one step together, steps one after the other; none
    where that is not known.
    """

    id: str
    caption: str | None
    speech: Path | None
    reference: Path | None
    labels: tuple[str, ...] = ()
    judged_by: tuple[str, ...] = ()
    steps: tuple[tuple[str, ...], ...] = ()


class Absent(NamedTuple):
    """A test item that was asked for and cannot be had; `reason` is one line."""

    id: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Clips in their order. Raises StabenchError for an id that is used twice or names no file.

    `missing` are the items that cannot be had. `prepare` makes the files of some clips that are
    not there yet; it is called with those that a run takes.
    """

    name: str
    version: str
    clips: tuple[Clip, ...]
    label_names: tuple[str, ...] = ()
    missing: tuple[Absent, ...] = ()
    prepare: Callable[[tuple[Clip, ...]], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_ids(f"dataset '{self.name}'", [clip.id for clip in self.clips])

    def picked(self, ids: Sequence[str]) -> "Dataset":
        """Return the clips of these ids in the dataset's order, or all for none.

        Raises StabenchError for an id that no clip has.
        """
        known = {clip.id for clip in self.clips}
        for name in ids:
            if name not in known:
                near = ", ".join(get_close_matches(name, known)) or ", ".join(sorted(known)[:5])
                raise StabenchError(
                    f"--clip '{name}': dataset '{self.name}' has no such clip among its "
                    f"{len(known)}; near it are {near}"
                )
        if not ids:
            return self
        return replace(self, clips=tuple(clip for clip in self.clips if clip.id in ids))

    def limited(self, count: int | None) -> "Dataset":
        """Return the first `count` clips, or all of them."""
        return self if count is None else replace(self, clips=self.clips[:count])


def folder(
    speech: str | Path,
    reference: str | Path | None = None,
    captions: str | Path | None = None,
    captioned_only: bool = True,
) -> Dataset:
    """Return the WAVs of the folder `speech` (id: file name without .wav), sorted by id.

    `reference` is a folder of WAVs of the same names, `captions` a CSV with columns id, caption.
    A caption without WAV is a clip too, and fails in the run; with `captioned_only=False` the CSV
    is looked up only. `version` is the sha256 of the ids and captions (first 12 digits).
    Raises MissingError for a folder that is not there, StabenchError for a bad CSV.
    """
    speech = _check_folder(speech, "speech")
    reference = None if reference is None else _check_folder(reference, "reference")
    wavs = [entry for entry in speech.iterdir() if entry.suffix.lower() == ".wav"]
    if not wavs:
        raise MissingError(f"folder '{speech}' holds no .wav file; give a folder of WAV files")
    check_ids(f"speech folder '{speech}'", [path.stem for path in wavs])
    spoken = {path.stem: path for path in wavs}
    texts = {} if captions is None else read_captions(Path(captions))
    ids = sorted(spoken.keys() | texts.keys() if captioned_only else spoken.keys())
    clips = tuple(
        Clip(
            id=name,
            caption=texts.get(name),
            speech=spoken.get(name, speech / f"{name}.wav"),
            reference=None if reference is None else reference / f"{name}.wav",
        )
        for name in ids
    )
    text = "".join(f"{clip.id}\0{clip.caption}\n" for clip in clips)
    return Dataset("folder", hashlib.sha256(text.encode()).hexdigest()[:12], clips)


def spoken_folder(speech: Path, captions: Path | None) -> Dataset:
    """Return the folder of `--speech`, captions from `captions` or from a captions.csv nearby."""
    if captions is not None:
        return folder(speech, captions=captions)
    nearby = [speech / "captions.csv", speech.resolve().parent / "captions.csv"]
    captions = next((path for path in nearby if path.is_file()), None)
    # A table that was not asked for may hold other clips too: it makes none.
    return folder(speech, captions=captions, captioned_only=False)


def read_captions(path: Path) -> dict[str, str]:
    """Return captions by clip id, from a CSV with columns `id` and `caption`, perhaps others."""
    rows = read_rows(path).rows
    check_ids(f"captions '{path}'", [row["id"] or "" for row in rows])
    return {row["id"] or "": (row["caption"] or "").strip() for row in rows}


class Rows(NamedTuple):
    """A table of captions as it stands: its `columns`, and a value of each for every row."""

    columns: list[str]
    rows: list[dict[str, str | None]]


def read_rows(path: Path) -> Rows:
    """Return a CSV with columns `id` and `caption`, and any others.

    Raises StabenchError for a bad CSV, MissingError without the file.
    """
    if not path.is_file():
        raise MissingError(f"captions '{path}': no such file; give a CSV with columns id, caption")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise StabenchError(f"captions '{path}': not a UTF-8 CSV file ({error})") from None
    if not {"id", "caption"} <= set(columns):
        raise StabenchError(
            f"captions '{path}': found columns {', '.join(columns) or 'none'}; "
            "needs columns id, caption"
        )
    return Rows(columns, rows)


def check_ids(what: str, ids: list[str], *, repeated: bool = False) -> None:
    """Raise StabenchError for an id that occurs twice (unless `repeated`) or names no file."""
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice and not repeated:
        raise StabenchError(f"{what}: clip id '{twice[0]}' is used twice; every id must be unique")
    for name in ids:
        if (
            name in {"", ".", ".."}
            or "/" in name
            or not name.isprintable()
            or len(name.encode()) > 200
        ):
            raise StabenchError(
                f"{what}: clip id {name!r} cannot name a file; "
                "use 1 to 200 bytes of printable characters without '/'"
            )


def _check_folder(path: str | Path, what: str) -> Path:
    path = Path(path)
    if not path.is_dir():
        raise MissingError(f"{what} folder '{path}' is not there; give a folder of WAV files")
    return path


def clip_seed(seed: int, clip: str, repeat: int) -> int:
    """Return the seed of a clip's noise, 0 to 2**63 - 1: one for any order, batch and system."""
    digest = hashlib.sha256(f"{seed}:{clip}:{repeat}".encode()).digest()
    # 63 bits are a signed integer of 64 bits to every library that is given it.
    return int.from_bytes(digest[:8], "big") >> 1
