"""Pairing: what each output of a folder is judged by, from file names and a table of captions.

AudioCaps has five captions for a clip, so a table may name the recording of each caption: several
outputs then share one recording. It may also name several recordings, or captions, of one output.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stabench.harness.datasets.dataset import (
    CAPTION_COLUMNS,
    describe_skipped,
    is_blank,
    read_id,
)
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.formatting import counted
from stabench.harness.scoring.evaluation_set import Item
from stabench.harness.scoring.features import Sounds
from stabench.harness.tables import read_csv
from stabench.metrics.audio import Audio, decode
from stabench.metrics.wav_folder import describe_near, explain_name, list_wavs
from stabench.metrics.wav_header import AudioError


class WavFolder(NamedTuple):
    """One folder: its name in tables, its WAV files by stem, notes on files that do not count."""

    name: str
    path: Path
    files: dict[str, Path]
    notes: tuple[str, ...] = ()


def wav_folder(name: str, path: Path) -> WavFolder:
    """Return the WAVs of a folder. Raises MissingError for none, StabenchError for a stem twice,
    and for a name that no table can show.
    """
    if not name.isprintable() or is_blank(name):
        raise StabenchError(f"system name {name!a}: not printable UTF-8; choose another name")
    if not path.is_dir():
        raise MissingError(f"{name}: folder '{path}' is not there; give a folder of WAV files")
    wavs = list_wavs(path)
    if not wavs.paths:
        raise MissingError(f"{name}: folder '{path}' holds no .wav file; convert the audio to WAV")
    try:
        return WavFolder(name, path, wavs.by_name(), describe_skipped(name, wavs))
    except AudioError as error:
        raise StabenchError(f"{name}: {error}") from None


def sounds(folder: WavFolder, clips: Iterable[str]) -> Sounds:
    """Return what decodes each clip; a clip without a file raises AudioError like a broken one."""
    return {clip: partial(_decode_file, folder, clip) for clip in clips}


def _decode_file(folder: WavFolder, clip: str) -> Audio:
    path = folder.files.get(clip)
    if path is None:
        near = describe_near(clip, folder.files)
        why = f"; {near}" if near else "; the clip counts as failed"
        raise AudioError(f"{folder.path / clip}.wav: no such file{why}")
    if reason := explain_name(path):
        raise AudioError(f"{folder.path / clip}.wav: {reason}")
    return decode(path)


REFERENCE = "reference"
# Clips that a note names; of more it names the first.
MOST_NAMED = 5


class Pairs(NamedTuple):
    """`items` of all systems, the clips `asked` of each, and notes of what could not be used."""

    items: dict[str, Item]
    asked: dict[str, list[str]]
    notes: tuple[str, ...]


class Captions(NamedTuple):
    """What a table says of each output, by name; `named`: it names the recordings too."""

    items: dict[str, Item]
    named: bool


def read_items(path: Path) -> Captions:
    """Return items by output from a CSV with columns id, caption and, if wanted, reference.

    Without `reference` an id occurs once and names its recording too. With it an id may occur in
    several rows, for other captions or recordings. Raises StabenchError for a bad CSV or the same
    row twice, MissingError without the file.
    """
    table = read_csv(path, CAPTION_COLUMNS)
    named = REFERENCE in table.columns
    # Tables of keys alone: they keep the order of the rows and hold each text once.
    captions: dict[str, dict[str, None]] = defaultdict(dict)
    references: dict[str, dict[str, None]] = defaultdict(dict)
    lines: dict[tuple[str, ...], int] = {}
    for row in table.rows:
        name, caption = read_id(path, row), row.cells["caption"].strip()
        recording = unicodedata.normalize("NFC", row.cells.get(REFERENCE) or name)
        key = (name, caption, recording) if named else (name,)
        if key in lines:
            where = f"captions '{path}', lines {lines[key]} and {row.line}: clip '{name}'"
            if named:
                raise StabenchError(
                    f"{where} has the same caption and reference twice; remove one row"
                )
            raise StabenchError(
                f"{where} is there twice; for several captions of a clip add the column "
                f"'{REFERENCE}' with its recording's name, else remove one row"
            )
        lines[key] = row.line
        references[name][recording] = None
        captions[name].update({} if is_blank(caption) else {caption: None})
    items = {name: Item(tuple(captions[name]), tuple(references[name])) for name in references}
    return Captions(items, named)


def pair(
    recordings: WavFolder, systems: list[WavFolder], captions: Captions, unpaired: bool
) -> Pairs:
    """Return items for folders of outputs: the clips of the table, where it names recordings.

    Otherwise the clips are the recordings, by file stem. A system that shares no stem with the
    clips, or all of them when `unpaired`, is a set of its own, judged without recordings. Raises
    StabenchError for a table of which no id is a file's name.
    """
    table = captions.items
    notes = [note for folder in (recordings, *systems) for note in folder.notes]
    notes += _describe_strays(table, recordings, systems)
    if unpaired:
        paired: dict[str, Item] = {}
    elif captions.named:
        paired = dict(table)
    else:
        paired = {
            stem: Item(table[stem].captions if stem in table else (), (stem,))
            for stem in recordings.files
        }
    items, asked = dict(paired), {}
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
        near = next(filter(None, (describe_near(stem, paired) for stem in stems)), "")
        common = f"no file name in common with the recordings{near and f' ({near})'}"
        why = "as asked" if unpaired else common
        notes.append(f"{system.name}: {why}, scored as a set; KL needs pairs")
    mute = sorted(name for name, item in items.items() if not item.captions)
    if table and mute:
        notes.append(f"{counted(len(mute), 'clip')} without a caption ({_name_first(mute)})")
    return Pairs(items, asked, tuple(notes))


def _describe_strays(
    table: Mapping[str, Item], recordings: WavFolder, systems: list[WavFolder]
) -> list[str]:
    """Return the note on ids of a table that name no file here, if there are any.

    Raises StabenchError where that is all of them: no output would have its caption.
    """
    files = [*recordings.files, *(stem for system in systems for stem in system.files)]
    strays = sorted(table.keys() - set(files))
    if not strays:
        return []
    near = next(filter(None, (describe_near(stray, files) for stray in strays)), "")
    if len(strays) == len(table):
        raise StabenchError(
            f"captions: none of {counted(len(table), 'id')} names a file (first: '{strays[0]}'); "
            f"{near or 'an id is the name of an output without .wav'}"
        )
    ids, hint = counted(len(strays), "id"), f": {near}" if near else ""
    return [f"captions: {ids} without a file ({_name_first(strays)}){hint}"]


def _name_first(names: list[str]) -> str:
    """Return the first few of many names."""
    more = ", ..." if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
