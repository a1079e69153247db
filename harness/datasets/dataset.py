"""A dataset: an ordered, versioned list of clips; and the simplest one, a folder of WAV files."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted, plain
from stabench.harness.tables import Row, read_csv
from stabench.metrics.wav_folder import WavFiles, describe_near, explain_name, list_wavs
from stabench.metrics.wav_header import AudioError


@dataclass(frozen=True)
class Clip:
    """One test item. `id` names its files; `caption` is the true text; `labels` what is heard.

    `judged_by` are the captions that outputs are compared with, where that is not `caption` alone.
    A caption of blanks is none: it is kept as None, and left out of `judged_by`.
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

    def __post_init__(self) -> None:
        if self.caption is not None and is_blank(self.caption):
            object.__setattr__(self, "caption", None)
        judges = tuple(caption for caption in self.judged_by if not is_blank(caption))
        object.__setattr__(self, "judged_by", judges)


def is_blank(text: str) -> bool:
    """Return whether a text holds nothing that is seen or said."""
    return not plain(text).strip()


class Absent(NamedTuple):
    """A test item that was asked for and cannot be had; `reason` is one line."""

    id: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Clips in their order. Raises StabenchError for an id that is used twice or names no file.

    `missing` are the items that cannot be had. `prepare` makes the files of some clips that are
    not there yet; it is called with those that a run takes. `notes` say in a line each what was
    left out that is no item.
    """

    name: str
    version: str
    clips: tuple[Clip, ...]
    label_names: tuple[str, ...] = ()
    missing: tuple[Absent, ...] = ()
    prepare: Callable[[tuple[Clip, ...]], None] | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()

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


# Bytes of a clip's id, which names its files.
LONGEST_ID = 200
CAPTION_COLUMNS = ("id", "caption")


def folder(
    speech: str | Path,
    reference: str | Path | None = None,
    captions: str | Path | None = None,
    captioned_only: bool = True,
) -> Dataset:
    """Return the WAVs of the folder `speech` (id: file name without .wav), sorted by id.

    `reference` is a folder of WAVs of the same names, `captions` a CSV with columns id, caption.
    A caption without WAV is a clip too, and fails in the run; with `captioned_only=False` the CSV
    is looked up only. `version` is the sha256 of the ids and captions (first 12 digits). A file
    whose name cannot be a clip's id is missing. Raises MissingError for a folder that is not there,
    StabenchError for a bad CSV, or for an id in it that is a file's name but for its form.
    """
    speech = _check_folder(speech, "speech")
    wavs = list_wavs(speech)
    if not wavs.paths:
        raise MissingError(f"folder '{speech}' holds no .wav file; give a folder of WAV files")
    spoken, missing = _name_files(wavs)
    recordings: dict[str, Path] = {}
    if reference is not None:
        recordings, _ = _name_files(list_wavs(_check_folder(reference, "reference")))
    texts = {} if captions is None else read_captions(Path(captions))
    mute = sorted(spoken.keys() - texts.keys())
    for name in sorted(texts.keys() - spoken.keys()):
        if near := describe_near(name, mute):
            raise StabenchError(
                f"captions '{captions}': id '{name}' names no WAV of '{speech}'; {near}"
            )
    ids = sorted(spoken.keys() | texts.keys() if captioned_only else spoken.keys())
    clips = tuple(
        Clip(
            id=name,
            caption=texts.get(name),
            speech=spoken.get(name, speech / f"{name}.wav"),
            reference=recordings.get(name, Path(reference, f"{name}.wav")) if reference else None,
        )
        for name in ids
    )
    text = "".join(f"{clip.id}\0{clip.caption}\n" for clip in clips)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Dataset(
        "folder", version, clips, missing=missing, notes=describe_skipped("speech", wavs)
    )


def _name_files(wavs: WavFiles) -> tuple[dict[str, Path], tuple[Absent, ...]]:
    """Return files by name, and those that cannot be used for their names."""
    try:
        files = wavs.by_name()
    except AudioError as error:
        raise StabenchError(str(error)) from None
    absent = []
    for name, path in list(files.items()):
        # One odd name costs its own clip, not the run.
        if reason := explain_name(path) or _explain_id(name):
            absent.append(Absent(name, reason))
            del files[name]
    return files, tuple(absent)


def describe_skipped(what: str, wavs: WavFiles) -> tuple[str, ...]:
    """Return the note on files of a folder that only look like WAVs, if there are any."""
    if not wavs.skipped:
        return ()
    files, first = counted(len(wavs.skipped), "file"), ascii(wavs.skipped[0].name)[1:-1]
    return (f"{what}: {files} of macOS without sound skipped ({first})",)


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
    lines: dict[str, int] = {}
    texts: dict[str, str] = {}
    for row in read_csv(path, CAPTION_COLUMNS).rows:
        name = read_id(path, row)
        if name in lines:
            raise StabenchError(
                f"captions '{path}': clip id '{name}' is used twice, in lines {lines[name]} and "
                f"{row.line}; every id must be unique, for one caption is spoken"
            )
        lines[name], texts[name] = row.line, row.cells["caption"].strip()
    return texts


def read_id(path: Path, row: Row) -> str:
    """Return the name of a clip's file in the column `id`, blanks and all, in the Unicode form NFC.

    Raises StabenchError for one that names no file.
    """
    where = f"captions '{path}', line {row.line}"
    if not row.cells["id"]:
        raise StabenchError(f"{where}: column 'id' is empty; give the file's name")
    name = unicodedata.normalize("NFC", row.cells["id"])
    check_ids(where, [name])
    return name


def check_ids(what: str, ids: list[str]) -> None:
    """Raise StabenchError for an id that occurs twice or names no file."""
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise StabenchError(f"{what}: clip id '{twice[0]}' is used twice; every id must be unique")
    for name in ids:
        if reason := _explain_id(name):
            raise StabenchError(f"{what}: clip id {name!r} {reason}")


def _explain_id(name: str) -> str | None:
    """Return why a clip cannot be called so, or None."""
    if (
        name in {"", ".", ".."}
        or "/" in name
        or not name.isprintable()
        or len(name.encode()) > LONGEST_ID
    ):
        return (
            f"cannot name a file; use 1 to {LONGEST_ID} bytes of printable characters without '/'"
        )
    return None


def _check_folder(path: str | Path, what: str) -> Path:
    path = Path(path)
    if not path.is_dir():
        raise MissingError(f"{what} folder '{path}' is not there; give a folder of WAV files")
    try:
        path.resolve().as_posix().encode()
    except UnicodeEncodeError:
        # A run keeps the paths of its clips.
        raise StabenchError(f"{what} folder {str(path)!a}: not UTF-8; rename it") from None
    return path


def clip_seed(seed: int, clip: str, repeat: int) -> int:
    """Return the seed of a clip's noise, 0 to 2**63 - 1: one for any order, batch and system."""
    digest = hashlib.sha256(f"{seed}:{clip}:{repeat}".encode()).digest()
    # 63 bits are a signed integer of 64 bits to every library that is given it.
    return int.from_bytes(digest[:8], "big") >> 1
