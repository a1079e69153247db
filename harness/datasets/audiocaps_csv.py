"""The files that list AudioCaps: the official CSV, captions and ids of subsets."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stabench.harness.errors import StabenchError
from stabench.harness.tables import Row, read_csv, read_json_lines, read_names

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_NAMED = re.compile(r"([A-Za-z0-9_-]{11})(?:_[\d.]+)*")


class Item(NamedTuple):
    """One recording of the CSV: the captions of its rows in their order, and their numbers.

    `flaw` says why it cannot be used, in one line.
    """

    youtube_id: str
    start_time: str
    captions: tuple[str, ...]
    numbers: tuple[str, ...]
    flaw: str | None = None

    @property
    def id(self) -> str:
        """The clip's id: AudioSet's own file name, which never begins with a dash."""
        return f"Y{self.youtube_id}"

    @property
    def names(self) -> tuple[str, ...]:
        """What people call its file."""
        timed = f"{self.youtube_id}_{self.start_time}"
        return (self.youtube_id, self.id, timed, f"Y{timed}")


def read(path: Path) -> list[Item]:
    """Return recordings in the order of their first rows; a flawed one says so.

    Raises MissingError without the file, StabenchError for another table.
    """
    rows = read_csv(path, COLUMNS, keep_flawed=True).rows
    # A dict keeps the order of first rows, in which `--limit` counts clips.
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.cells["youtube_id"], []).append(row)
    numbers = Counter(row.cells["audiocap_id"].strip() for row in rows)
    return [_make_item(youtube_id, group, numbers) for youtube_id, group in by_id.items()]


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return captions by YouTube id: a CSV of youtube_id and caption, or TANGO's JSON lines.

    TANGO names a recording by `location` (.../<id>_<start>.wav), its caption by `captions`. Raises
    MissingError without the file, StabenchError for another format.
    """
    if _holds_json(path):
        rows, name, text = read_json_lines(path, ("location", "captions")), "location", "captions"
    else:
        rows, name, text = (
            list(read_csv(path, ("youtube_id", "caption")).rows),
            "youtube_id",
            "caption",
        )
    captions: dict[str, list[str]] = {}
    for row in rows:
        youtube_id = _parse_youtube_id(path, row.line, row.cells[name])
        captions.setdefault(youtube_id, []).append(row.cells[text].strip())
    return {youtube_id: tuple(texts) for youtube_id, texts in captions.items()}


def read_ids(path: Path) -> set[str]:
    """Return the YouTube ids of a file: one a line (or a name that holds it), or TANGO's JSON."""
    if _holds_json(path):
        rows, name = read_json_lines(path, ("location", "captions")), "location"
    else:
        rows, name = read_names(path), "name"
    return {_parse_youtube_id(path, row.line, row.cells[name]) for row in rows}


def _holds_json(path: Path) -> bool:
    return path.suffix.lower() in (".json", ".jsonl")


def _make_item(youtube_id: str, rows: Sequence[Row], numbers: Mapping[str, int]) -> Item:
    starts = dict.fromkeys(row.cells["start_time"].strip() for row in rows)
    ids = tuple(row.cells["audiocap_id"].strip() for row in rows)
    twice = [number for number in ids if numbers[number] > 1]
    torn = [row for row in rows if row.flaw]
    flaw = None
    if not _YOUTUBE_ID.fullmatch(youtube_id):
        flaw = f"youtube_id {youtube_id!r} is not 11 letters, digits, '-' or '_'"
    elif torn:
        # Whole rows of the same recording do not make up for it: their captions are others.
        flaw = f"line {torn[0].line}: {torn[0].flaw}"
    elif len(starts) > 1:
        flaw = f"it has {len(starts)} start times ({', '.join(starts)}); give each a CSV of its own"
    elif twice:
        flaw = f"audiocap_id {twice[0]} stands in {numbers[twice[0]]} rows"
    captions = tuple(row.cells["caption"].strip() for row in rows)
    return Item(youtube_id, next(iter(starts)), captions, ids, flaw)


def _parse_youtube_id(path: Path, line: int, name: str) -> str:
    """Return the id in an id or a file's name: <id>, Y<id>, <id>_<start>, with or without .wav."""
    stem = re.sub(r"\.[a-z]\w+$", "", name.strip().rsplit("/", 1)[-1])
    # An id may begin with Y itself: the shorter reading goes first.
    match = _NAMED.fullmatch(stem) or _NAMED.fullmatch(stem.removeprefix("Y"))
    if not match:
        raise StabenchError(
            f"'{path}', line {line}: {name!r} holds no YouTube id; give <id> or <id>_<start>"
        )
    return match[1]
