"""Recordings as people keep them: which file of a folder, or row of a table, is which clip's."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints.cache import cache_folder
from stabench.harness.datasets import hf_shards
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.files import write_bytes
from stabench.metrics.audio import read_bytes
from stabench.metrics.wav_folder import COMPANION
from stabench.metrics.wav_header import AudioError, check_limits

# What libsndfile reads beside WAV; a copy as WAV is kept in the cache folder.
CONVERTED = (".flac", ".ogg", ".opus", ".mp3")
OTHER = (".m4a", ".aac", ".mp4", ".webm", ".mkv", ".wma")


class Names(NamedTuple):
    """What a clip's file may be called, without its ending.

    Of `stems` at most one file may be there; of `numbers` (one file for each caption) the first
    that is there is taken.
    """

    stems: tuple[str, ...]
    numbers: tuple[str, ...] = ()


class Found(NamedTuple):
    """WAV files by clip, and for each other clip why it has none, in one line.

    `absent` are those for which nothing is there, as opposed to something that cannot be used.
    """

    paths: dict[str, Path]
    reasons: dict[str, str]
    absent: set[str]

    @classmethod
    def nothing(cls) -> "Found":
        return cls({}, {}, set())


def find(place: Path, wanted: Mapping[str, Names], split: str = "test") -> Found:
    """Return the recording of every clip of `wanted`, in whichever layout `place` has.

    A folder of audio files; what aac-datasets downloads (AUDIOCAPS/audio_<rate>Hz/<split>/); or a
    folder of the Hugging Face datasets package (.arrow or .parquet shards). Raises MissingError
    when nothing of this is there, StabenchError for a folder in which two rates lie side by side.
    """
    if not place.is_dir():
        raise MissingError(f"recordings '{place}': no such folder; give a folder of audio files")
    tables = hf_shards.list_shards(place, split)
    if tables:
        return in_tables(tables, wanted)
    # In what aac-datasets leaves, the files lie some folders down, in one folder for each rate.
    roots = [base for base in (place / "AUDIOCAPS", place) if base.is_dir()]
    folders = [path / split for root in roots for path in sorted(root.glob("audio_*Hz"))]
    folders = [path for path in folders if path.is_dir()]
    if len(folders) > 1:
        names = ", ".join(f"'{path}'" for path in folders)
        raise StabenchError(f"recordings '{place}' are there at several rates; give one of {names}")
    return in_folder(folders[0] if folders else place, wanted)


def in_folder(folder: Path, wanted: Mapping[str, Names]) -> Found:
    """Return files of one folder, by their names."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        suffixes = (".wav", *CONVERTED, *OTHER)
        if path.suffix.lower() in suffixes and not path.name.startswith(COMPANION):
            files[path.stem].append(path)
    if not files:
        raise MissingError(f"recordings '{folder}': holds no audio file; give the folder of WAVs")
    outcome = Found.nothing()
    for clip, names in wanted.items():
        paths = [path for name in names.stems for path in files.get(name, ())]
        numbered = [path for name in names.numbers for path in files.get(name, ())]
        _keep_file(outcome, clip, paths or numbered[:1], folder)
    return outcome


def in_tables(tables: list[Path], wanted: Mapping[str, Names]) -> Found:
    """Return rows of tables by their column `youtube_id`; the first row of an id counts.

    A row without bytes names a file beside its table.
    """
    clips = {name: clip for clip, names in wanted.items() for name in names.stems}
    outcome = Found.nothing()
    for table in tables:
        for row in hf_shards.rows(table):
            clip = clips.get(row.youtube_id)
            if clip is None or clip in outcome.paths or clip in outcome.reasons:
                continue
            content, name = row.audio()
            if content is not None:
                _keep_copy(outcome, clip, content, f"the audio of '{row.youtube_id}' in '{table}'")
            else:
                path = table.parent / (name or "")
                _keep_file(outcome, clip, [path] if path.is_file() else [], table.parent)
    for clip in wanted:
        if clip not in outcome.paths and clip not in outcome.reasons:
            outcome.reasons[clip] = f"no row of '{tables[0].parent}' has its id"
            outcome.absent.add(clip)
    return outcome


def _keep_file(outcome: Found, clip: str, files: list[Path], folder: Path) -> None:
    """Keep the path of a clip whose files are these, or the reason why it has none."""
    if not files:
        outcome.reasons[clip] = f"no recording in '{folder}'"
        outcome.absent.add(clip)
    elif len(files) > 1:
        names = ", ".join(path.name for path in files)
        outcome.reasons[clip] = f"'{folder}' holds {names}: keep one of them"
    elif files[0].suffix.lower() in OTHER:
        outcome.reasons[clip] = f"'{files[0]}' is {files[0].suffix}, which is not read; make it WAV"
    elif files[0].suffix.lower() in CONVERTED:
        _keep_copy(outcome, clip, files[0], f"'{files[0]}'")
    elif refusal := _explain_refusal(files[0]):
        outcome.reasons[clip] = refusal
    else:
        outcome.paths[clip] = files[0]


def _explain_refusal(path: Path) -> str | None:
    """Return why a file of name .wav is none, or None."""
    try:
        head = read_bytes(path, 12)
    except AudioError as error:
        return f"'{path}': {error}"
    return None if _is_wav(head) else f"'{path}' is no WAV file, whatever its name; make it WAV"


def _is_wav(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _keep_copy(outcome: Found, clip: str, source: Path | bytes, what: str) -> None:
    """Keep the WAV copy of a sound that is in another format, or in no file."""
    try:
        content = source if isinstance(source, bytes) else read_bytes(source)
        # Under the digest of its content: the same sound is converted once, wherever it lies.
        digest = hashlib.sha256(content).hexdigest()
        path = cache_folder() / "recordings" / digest[:16] / f"{clip}.wav"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content if _is_wav(content) else _convert_to_wav(content))
        outcome.paths[clip] = path
    except (OSError, AudioError) as error:
        outcome.reasons[clip] = f"{what} cannot be decoded ({error}); make it WAV"


def _convert_to_wav(content: bytes) -> bytes:
    """Return the sound of a file that libsndfile reads, all channels, as PCM. Raises AudioError."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate_hz = file.samplerate
            check_limits(rate_hz, file.channels, file.frames)
            # 16 bits stay 16; everything else becomes 24.
            exact = file.subtype in ("PCM_16", "PCM_S8", "PCM_U8")
            samples = file.read(dtype="int16" if exact else "float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(error.error_string.rstrip(". ")) from error
    if not len(samples):
        raise AudioError("it holds no samples")
    target = io.BytesIO()
    soundfile.write(target, samples, rate_hz, "PCM_16" if exact else "PCM_24", format="WAV")
    return target.getvalue()
