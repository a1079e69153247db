"""Pairing: what each output of a folder is judged by, from file names and a table of captions.

AudioCaps has five captions for a clip, so a table may name the recording of each caption: several
outputs then share one recording. It may also name several recordings, or captions, of one output.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stabench.harness.datasets.dataset import check_ids, read_rows
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted
from stabench.harness.scoring.evaluation_set import Item
from stabench.harness.scoring.features import Sounds
from stabench.metrics.audio import Audio, AudioError, decode


class WavFolder(NamedTuple):
    """One folder: its name in tables and its WAV files by stem."""

    name: str
    path: Path
    files: dict[str, Path]


def wav_folder(name: str, path: Path) -> WavFolder:
    """Return the WAVs of a folder. Raises MissingError for none, StabenchError for a stem twice."""
    if not path.is_dir():
        raise MissingError(f"{name}: folder '{path}' is not there; give a folder of WAV files")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".wav")
    if not files:
        raise MissingError(f"{name}: folder '{path}' holds no .wav file; convert the audio to WAV")
    stem, count = Counter(file.stem for file in files).most_common(1)[0]
    if count > 1:
        raise StabenchError(
            f"{name}: '{path}' holds {count} files with the stem '{stem}'; clips are paired by "
            "stem, keep one"
        )
    return WavFolder(name, path, {file.stem: file for file in files})


def sounds(folder: WavFolder, clips: Iterable[str]) -> Sounds:
    """Return what decodes each clip; a clip without a file raises AudioError like a broken one."""
    return {
        clip: partial(_decode_file, folder.files.get(clip, folder.path / f"{clip}.wav"))
        for clip in clips
    }


def _decode_file(path: Path) -> Audio:
    if not path.exists():
        raise AudioError(f"{path}: no such file; the clip counts as failed")
    return decode(path)


REFERENCE = "reference"
# Clips that a note names; of more it names the first.
MOST_NAMED = 5


class Pairs(NamedTuple):
    """`items` of all systems, the clips `asked` of each, and notes of what could not be used."""

    items: dict[str, Item]
    asked: dict[str, list[str]]
    notes: tuple[str, ...]


def read_items(path: Path) -> dict[str, Item]:
    """Return items by output from a CSV with columns id, caption and, if wanted, reference.

    Without `reference` an id occurs once and names its recording too. With it an id may occur in
    several rows, for other captions or recordings. Raises StabenchError for a bad CSV or the same
    row twice, MissingError without the file.
    """
    columns, rows = read_rows(path)
    # Tables of keys alone: they keep the order of the rows and hold each text once.
    captions: dict[str, dict[str, None]] = defaultdict(dict)
    references: dict[str, dict[str, None]] = defaultdict(dict)
    seen: set[tuple[str, str, str]] = set()
    check_ids(
        f"captions '{path}'", [row["id"] or "" for row in rows], repeated=REFERENCE in columns
    )
    for row in rows:
        name, caption = row["id"] or "", (row["caption"] or "").strip()
        recording = (row.get(REFERENCE) or name).strip()
        if (name, caption, recording) in seen:
            raise StabenchError(
                f"captions '{path}': clip '{name}' has the same caption and reference twice; "
                "remove one row"
            )
        seen.add((name, caption, recording))
        references[name][recording] = None
        captions[name].update({caption: None} if caption else {})
    return {name: Item(tuple(captions[name]), tuple(references[name])) for name in references}


def pair(
    recordings: WavFolder,
    systems: list[WavFolder],
    table: Mapping[str, Item] | None,
    named: bool,
    unpaired: bool,
) -> Pairs:
    """Return items for folders of outputs; `named`: the table names each clip's recordings.

    Otherwise the clips are the recordings, by file stem. A system that shares no stem with the
    clips, or all of them when `unpaired`, is a set of its own, judged without recordings.
    """
    table = table or {}
    if unpaired:
        paired: dict[str, Item] = {}
    elif named:
        paired = dict(table)
    else:
        paired = {
            stem: Item(table[stem].captions if stem in table else (), (stem,))
            for stem in recordings.files
        }
    items, asked, notes = dict(paired), {}, []
    for system in systems:
        stems = sorted(system.files)
        if paired.keys() & set(stems):
            asked[system.name] = sorted(paired)
            extra = sorted(set(stems) - paired.keys())
            if extra:
                files = counted(len(extra), "file")
                notes.append(
                    f"{system.name}: {files} without a reference left out ({_name_first(extra)})"
                )
            continue
        # No name in common says that the folders are not paired, not that every clip failed.
        asked[system.name] = stems
        for stem in stems:
            items[stem] = Item(table[stem].captions if stem in table else ())
        why = "as asked" if unpaired else "no file name in common with the recordings"
        notes.append(f"{system.name}: {why}, scored as a set; KL needs pairs")
    mute = sorted(name for name, item in items.items() if not item.captions)
    if table and mute:
        notes.append(f"{counted(len(mute), 'clip')} without a caption ({_name_first(mute)})")
    return Pairs(items, asked, tuple(notes))


def _name_first(names: list[str]) -> str:
    """Return the first few of many names."""
    more = ", ..." if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
