"""Folders of WAV files scored as they are: which clips they hold, by file stem."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.errors import MissingError, StabenchError
from harness.features import Sounds
from metrics.audio import Audio, AudioError, decode


class WavFolder(NamedTuple):
    """One folder: its name in tables and its WAV files by stem."""

    name: str
    path: Path
    files: dict[str, Path]


def wav_folder(name: str, path: Path) -> WavFolder:
    """The WAV files of a folder. Raises MissingError for none, StabenchError for a stem twice."""
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
    """What decodes each clip; a clip without a file raises AudioError like a broken one."""
    return {
        clip: partial(_decode, folder.files.get(clip, folder.path / f"{clip}.wav"))
        for clip in clips
    }


def _decode(path: Path) -> Audio:
    if not path.exists():
        raise AudioError(f"{path}: no such file; the clip counts as failed")
    return decode(path)
