"""The files that list AudioCaps: the official CSV, captions and ids of subsets."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stabench.harness.errors import MissingError, StabenchError

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
    rows = _read_rows(path)
    # A dict keeps the order of first rows, in which `--limit` counts clips.
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_id.setdefault(row["youtube_id"] or "", []).append(row)
    numbers = Counter(row["audiocap_id"] for row in rows)
    return [_make_item(youtube_id, group, numbers) for youtube_id, group in by_id.items()]


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Return captions by YouTube id: a CSV of youtube_id and caption, or TANGO's JSON lines.

    TANGO names a recording by `location` (.../<id>_<start>.wav), its caption by `captions`. Raises
    MissingError without the file, StabenchError for another format.
    """
    if path.suffix.lower() in (".json", ".jsonl"):
        pairs = [
            (_parse_youtube_id(path, row["location"]), row["captions"])
            for row in _read_json_lines(path)
        ]
    else:
        rows = _read_rows(path, ("youtube_id", "caption"))
        pairs = [
            (_parse_youtube_id(path, row["youtube_id"] or ""), row["caption"] or "") for row in rows
        ]
    captions: dict[str, list[str]] = {}
    for youtube_id, caption in pairs:
        captions.setdefault(youtube_id, []).append(caption.strip())
    return {youtube_id: tuple(texts) for youtube_id, texts in captions.items()}


def read_ids(path: Path) -> set[str]:
    """Return the YouTube ids of a file: one a line (or a name that holds it), or TANGO's JSON."""
    if path.suffix.lower() in (".json", ".jsonl"):
        return {_parse_youtube_id(path, row["location"]) for row in _read_json_lines(path)}
    return {_parse_youtube_id(path, line) for line in _read_text(path).split()}


def _make_item(youtube_id: str, rows: Sequence[dict[str, Any]], numbers: Mapping[str, int]) -> Item:
    starts = dict.fromkeys((row["start_time"] or "").strip() for row in rows)
    ids = tuple((row["audiocap_id"] or "").strip() for row in rows)
    twice = [number for number in ids if numbers[number] > 1]
    # The csv module puts fields beyond the header under the key None.
    torn = [row["line"] for row in rows if None in row]
    flaw = None
    if not _YOUTUBE_ID.fullmatch(youtube_id):
        flaw = f"youtube_id {youtube_id!r} is not 11 letters, digits, '-' or '_'"
    elif len(starts) > 1:
        flaw = f"it has {len(starts)} start times ({', '.join(starts)}); give each a CSV of its own"
    elif twice:
        flaw = f"audiocap_id {twice[0]} stands in {numbers[twice[0]]} rows"
    elif torn:
        flaw = f"line {torn[0]} has too many fields; put a caption with commas in quotes"
    captions = tuple((row["caption"] or "").strip() for row in rows)
    return Item(youtube_id, next(iter(starts)), captions, ids, flaw)


def _read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    """Return rows of a CSV with these columns, each with the number of its last `line`."""
    text = _read_text(path)
    try:
        # Strictly: else a quote that is never closed swallows the rest of the table unseen.
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        names = list(reader.fieldnames or [])
        rows = [{**row, "line": reader.line_num} for row in reader]
    except csv.Error as error:
        raise StabenchError(f"captions '{path}': not a CSV file ({error})") from error
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise StabenchError(
            f"captions '{path}': found columns {', '.join(names) or 'none'}; needs "
            f"{', '.join(columns)}"
        )
    return rows


def _read_json_lines(path: Path) -> Iterable[dict[str, str]]:
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        try:
            row = json.loads(line)
            yield {key: str(row[key]) for key in ("location", "captions")}
        except (ValueError, KeyError, TypeError) as error:
            raise StabenchError(
                f"'{path}' line {number}: needs JSON with keys location, captions ({error})"
            ) from error


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise MissingError(f"'{path}': no such file; give AudioCaps' test.csv or a file like it")
    try:
        # Spreadsheets begin a CSV with a byte-order mark, which is no part of the first name.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StabenchError(f"'{path}': not UTF-8 text ({error})") from error


def _parse_youtube_id(path: Path, name: str) -> str:
    """Return the id in an id or a file's name: <id>, Y<id>, <id>_<start>, with or without .wav."""
    stem = re.sub(r"\.[a-z]\w+$", "", name.strip().rsplit("/", 1)[-1])
    # An id may begin with Y itself: the shorter reading goes first.
    match = _NAMED.fullmatch(stem) or _NAMED.fullmatch(stem.removeprefix("Y"))
    if not match:
        raise StabenchError(f"'{path}': {name!r} holds no YouTube id; give <id> or <id>_<start>")
    return match[1]
