"""The clips of a split: rows of AudioCaps with caption, recording, speech and labels."""

import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints.cache import cache_folder
from stabench.checkpoints.digests import digest
from stabench.harness.datasets import audiocaps_csv, audioset, recordings
from stabench.harness.datasets.audiocaps_csv import Item
from stabench.harness.datasets.audioset import Segment
from stabench.harness.datasets.dataset import clip_seed, is_blank
from stabench.harness.datasets.recordings import Names
from stabench.harness.errors import StabenchError, TooManyFailures
from stabench.harness.files import write_bytes, write_json
from stabench.harness.prepare.recipe import Data, Labels

SEGMENTS = "segments.json"


class Row(NamedTuple):
    """One clip with one of its captions; what is not known yet is None."""

    id: str
    item: Item
    number: int
    recording: Path | None = None
    # Numbers of AudioSet's classes, and whether their segment begins elsewhere.
    labels: tuple[int, ...] | None = None
    other_start: bool = False

    @property
    def caption(self) -> str:
        """What is said."""
        return self.item.captions[self.number]


class Failure(NamedTuple):
    """A clip that is not prepared, or (step "labels") one that has no labels."""

    id: str
    step: str
    reason: str


class Selection(NamedTuple):
    """Rows in the order of the CSV, and what failed."""

    rows: list[Row]
    failures: list[Failure]

    def without(self, step: str, reasons: dict[str, str]) -> "Selection":
        """Return the selection less the rows whose id has a reason."""
        failures = [
            Failure(row.id, step, reasons[row.id]) for row in self.rows if row.id in reasons
        ]
        kept = [row for row in self.rows if row.id not in reasons]
        return Selection(kept, [*self.failures, *failures])


def select_clips(data: Data, split: str, limit: int | None) -> Selection:
    """Return the rows of a split whose CSV is sound and whose recordings are there.

    Raises StabenchError for a CSV that is none, MissingError without it or without the folder.
    """
    csv = data.csv.of(split)
    if csv is None:
        raise StabenchError(f"--split {split}: the recipe has no csv.{split}; add it")
    items = audiocaps_csv.read(Path(csv))[:limit]
    rows = [row for item in items for row in _make_rows(item, data)]
    flaws = {row.id: flaw for row in rows if (flaw := _explain_flaw(row))}
    selection = Selection(rows, []).without("clips", flaws)
    place = data.recordings_of(split)
    if place is None:
        return selection
    wanted = {row.item.id: Names(row.item.names, row.item.numbers) for row in selection.rows}
    files = recordings.find(Path(place), wanted, _name_split(Path(place), split))
    reasons = {r.id: files.reasons[r.item.id] for r in selection.rows if r.item.id in files.reasons}
    selection = selection.without("clips", reasons)
    rows = [row._replace(recording=files.paths[row.item.id]) for row in selection.rows]
    return Selection(rows, selection.failures)


def add_labels(
    rows: Sequence[Row], labels: Labels, folder: Path
) -> tuple[list[Row], audioset.Classes]:
    """Return the rows with the classes of their segments, and AudioSet's classes.

    The segments of these videos are kept in `folder` while the tables stay what they are. Raises
    StabenchError for a table that is none, MissingError without one.
    """
    classes = audioset.read_classes(Path(labels.classes))
    wanted = {row.item.youtube_id for row in rows}
    segments = _read_segments(labels, classes, wanted, folder / SEGMENTS)
    labelled = []
    for row in rows:
        start_s = float(row.item.start_time)
        segment = audioset.choose_segment(segments.get(row.item.youtube_id, []), start_s)
        if segment is not None:
            row = row._replace(labels=segment.labels, other_start=segment.start_s != start_s)
        labelled.append(row)
    return labelled, classes


def _read_segments(
    labels: Labels, classes: audioset.Classes, wanted: set[str], kept: Path
) -> dict[str, list[Segment]]:
    """Return the segments of the videos `wanted`, from the file `kept` if it has them."""
    paths = [Path(path) for path in labels.segments]
    # A table that is not there is told by what reads it.
    digests = [digest(path) for path in (Path(labels.classes), *paths) if path.is_file()]
    text = json.dumps([1, digests, list(map(str, paths)), sorted(wanted)])
    key = hashlib.sha256(text.encode()).hexdigest()
    with suppress(OSError, ValueError, KeyError, TypeError):
        value = json.loads(kept.read_bytes())
        if value["key"] == key and len(digests) == len(paths) + 1:
            return {
                name: [Segment(start_s, tuple(numbers), place) for start_s, numbers, place in rows]
                for name, rows in value["segments"].items()
            }
    segments = audioset.read_segments(paths, classes, wanted)
    write_json(kept, {"key": key, "segments": segments})
    return segments


def check_failures(split: str, data: Data, selection: Selection, folder: Path) -> None:
    """Raise TooManyFailures when more failed than the recipe allows, or all."""
    failed = [failure for failure in selection.failures if failure.step != "labels"]
    total = len(selection.rows) + len(failed)
    if failed and (not selection.rows or len(failed) > data.max_failed_share * total):
        raise TooManyFailures(
            f"{split}: {len(failed)} of {total} clips failed, max_failed_share allows "
            f"{data.max_failed_share:g} of them; the first is {failed[0].id} ({failed[0].reason}), "
            f"all are in '{folder}'"
        )


def write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Write a line of JSON for each failure."""
    lines = (json.dumps(failure._asdict(), ensure_ascii=False) for failure in failures)
    text = "".join(f"{line}\n" for line in lines)
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_table(
    path: Path,
    rows: Sequence[Row],
    columns: dict[str, list],
    classes: audioset.Classes | None,
    zeros: bool,
) -> None:
    """Write `clips.parquet`: a row for each clip, with `columns` of its speech and recording.

    `labels` are numbers of classes, null where there are none; `stage1` says whether a clip takes
    part there, as one without labels does with `zeros`. The metadata "classes" are JSON lists of
    mids and names.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "id": pa.array([row.id for row in rows], pa.string()),
            "youtube_id": pa.array([row.item.youtube_id for row in rows], pa.string()),
            "start_s": pa.array([float(row.item.start_time) for row in rows], pa.float64()),
            "audiocap_id": pa.array([row.item.numbers[row.number] for row in rows], pa.string()),
            "caption": pa.array([row.caption for row in rows], pa.string()),
            "labels": pa.array([row.labels for row in rows], pa.list_(pa.int16())),
            "stage1": [bool(classes and (zeros or row.labels is not None)) for row in rows],
            **columns,
        }
    )
    known = classes._asdict() if classes else {}
    table = table.replace_schema_metadata({"classes": json.dumps(known, ensure_ascii=False)})
    target = io.BytesIO()
    parquet.write_table(table, target)
    write_bytes(path, target.getvalue())


def shorten_path(path: Path | None) -> str | None:
    """Return a path as it is, or seen from the cache folder if it lies there."""
    if path is None:
        return None
    cache = cache_folder()
    return str(path.relative_to(cache) if path.is_relative_to(cache) else path)


def _make_rows(item: Item, data: Data) -> list[Row]:
    if data.captions == "first":
        return [Row(item.id, item, 0)]
    if data.captions == "any":
        # Beside the seed of the voice, which is that of repeat 0.
        number = clip_seed(data.voice_seed, item.id, 1) % len(item.captions)
        return [Row(item.id, item, number)]
    # The first keeps the clip's id: its speech is that of every other way to choose.
    return [
        Row(f"{item.id}.{number + 1}" if number else item.id, item, number)
        for number in range(len(item.captions))
    ]


def _explain_flaw(row: Row) -> str | None:
    if row.item.flaw:
        return row.item.flaw
    if is_blank(row.caption):
        return f"its caption (audiocap_id {row.item.numbers[row.number]}) is empty"
    try:
        float(row.item.start_time)
    except ValueError:
        return f"start_time {row.item.start_time!r} is no number of seconds"
    return None


def _name_split(place: Path, split: str) -> str:
    """Return what the split is called there: aac-datasets calls a folder `val`."""
    return "val" if split == "validation" and any(place.glob("**/val")) else split
