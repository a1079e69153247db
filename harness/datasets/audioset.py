"""AudioSet's tables: its 527 classes, and which of them each segment of a video has.

`class_labels_indices.csv` and `*_segments.csv` are read as AudioSet publishes them
(research.google.com/audioset/download.html).
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from stabench.harness.errors import StabenchError
from stabench.harness.tables import read_csv, read_text

CLASS_COLUMNS = ("index", "mid", "display_name")
# A mid is Freebase's (/m/09x0r) or AudioSet's own (/t/dd00088).
_MID = re.compile(r"/[a-z]/\w+")
_SEGMENT = re.compile(
    r"(?P<id>[A-Za-z0-9_-]{11}), *(?P<start>\d+(?:\.\d+)?), *(?P<end>\d+(?:\.\d+)?), *"
    r'"(?P<mids>[^"]*)"'
)
_SHOWN = 60


class Classes(NamedTuple):
    """AudioSet's classes in the order of their numbers: `mids` and display `names`."""

    mids: tuple[str, ...]
    names: tuple[str, ...]


class Segment(NamedTuple):
    """A labelled part of a video: where it begins, its class numbers, and the line it is from."""

    start_s: float
    labels: tuple[int, ...]
    place: str


def read_classes(path: Path) -> Classes:
    """Return the classes of a CSV with columns index, mid, display_name.

    Raises StabenchError, with the line, for numbers that are not 0, 1, 2, ... in their order, and
    for a mid that is none or stands twice; MissingError without the file.
    """
    mids: list[str] = []
    names = []
    for row in read_csv(path, CLASS_COLUMNS).rows:
        where = f"'{path}', line {row.line}"
        number, mid = row.cells["index"].strip(), row.cells["mid"].strip()
        if number != str(len(mids)):
            raise StabenchError(f"{where}: index is {number!r}, expected {len(mids)}: 0, 1, 2, ...")
        if not _MID.fullmatch(mid) or mid in mids:
            what = "stands twice" if mid in mids else "is no mid such as /m/09x0r"
            raise StabenchError(f"{where}: mid {mid!r} {what}; fetch AudioSet's file again")
        mids.append(mid)
        names.append(row.cells["display_name"].strip())
    return Classes(tuple(mids), tuple(names))


def read_segments(
    paths: Iterable[Path], classes: Classes, wanted: set[str]
) -> dict[str, list[Segment]]:
    """Return the segments of the videos `wanted` by YouTube id, of all files together.

    Every line is checked, wanted or not: id, start and end in seconds, mids in quotes; lines that
    begin with # are comments. Raises StabenchError, with file and line, for another line, for a mid
    that no class has, and for a segment that has other labels elsewhere.
    """
    numbers = {mid: number for number, mid in enumerate(classes.mids)}
    segments: dict[str, list[Segment]] = {}
    for path in paths:
        for line, text in enumerate(read_text(path).split("\n"), 1):
            text = text.removesuffix("\r")
            if text.startswith("#") or not text.strip():
                continue
            place = f"'{path}', line {line}"
            match = _SEGMENT.fullmatch(text.rstrip())
            if match is None or float(match["end"]) <= float(match["start"]):
                raise StabenchError(
                    f"{place}: {text[:_SHOWN]!r} is no segment; expected id, start, end, "
                    '"mid,mid" with end after start'
                )
            labels = _parse_mids(place, match["mids"], numbers)
            if match["id"] in wanted:
                segment = Segment(float(match["start"]), labels, place)
                _add_segment(segments.setdefault(match["id"], []), segment)
    return segments


def choose_segment(segments: list[Segment], start_s: float) -> Segment | None:
    """Return the segment of a clip: the only one of its video, else the one that begins with it."""
    if len(segments) == 1:
        return segments[0]
    return next((segment for segment in segments if segment.start_s == start_s), None)


def _parse_mids(place: str, text: str, numbers: Mapping[str, int]) -> tuple[int, ...]:
    mids = [mid.strip() for mid in text.split(",")]
    for mid in mids:
        if mid not in numbers:
            near = get_close_matches(mid, numbers, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "use the classes of the same release"
            raise StabenchError(f"{place}: unknown mid {mid[:_SHOWN]!r}; {hint}")
    return tuple(sorted({numbers[mid] for mid in mids}))


def _add_segment(segments: list[Segment], new: Segment) -> None:
    """Add a segment, or nothing if it is there. Raises StabenchError for one of other labels."""
    for old in segments:
        if old.start_s == new.start_s:
            if old.labels != new.labels:
                raise StabenchError(
                    f"{new.place}: other labels than the same segment has in {old.place}; give "
                    "files of one release"
                )
            return
    segments.append(new)
