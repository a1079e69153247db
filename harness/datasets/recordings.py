"""Recordings as people keep them: which file of a folder, or row of a table, is which clip's."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stabench.checkpoints import digests
from stabench.checkpoints.cache import cache_folder
from stabench.harness.datasets import hf_shards
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.files import write_bytes

CONVERTED = (".flac", ".ogg", ".opus", ".mp3")
"""What libsndfile reads beside WAV; a copy as WAV is kept in the cache folder."""
OTHER = (".m4a", ".aac", ".mp4", ".webm", ".mkv", ".wma")


class Names(NamedTuple):
    """What a clip's file may be called, without its ending.

    Of `own` at most one file may be there; of `numbers` (one file for each caption) the first
    that is there is taken.
    """

    own: tuple[str, ...]
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
    """The recording of every clip of `wanted`, in whichever layout `place` has.

    A folder of audio files; what aac-datasets downloads (AUDIOCAPS/audio_<rate>Hz/<split>/); or a
    folder of the Hugging Face datasets package (.arrow or .parquet shards). Raises MissingError
    when nothing of this is there, StabenchError for a folder in which two rates lie side by side.
    """
    if not place.is_dir():
        raise MissingError(f"recordings '{place}': no such folder; give a folder of audio files")
    tables = hf_shards.of(place, split)
    return in_tables(tables, wanted) if tables else in_folder(_innermost(place, split), wanted)


def in_folder(folder: Path, wanted: Mapping[str, Names]) -> Found:
    """Files of one folder, by their names."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".wav", *CONVERTED, *OTHER):
            files[path.stem].append(path)
    if not files:
        raise MissingError(f"recordings '{folder}': holds no audio file; give the folder of WAVs")
    found = Found.nothing()
    for clip, names in wanted.items():
        own = [path for name in names.own for path in files.get(name, ())]
        numbered = [path for name in names.numbers for path in files.get(name, ())]
        _keep(found, clip, own or numbered[:1], folder)
    return found


def in_tables(tables: list[Path], wanted: Mapping[str, Names]) -> Found:
    """Rows of Arrow or Parquet tables by their column `youtube_id`; the first row of an id counts.

    A row without bytes names a file beside its table.
    """
    clips = {name: clip for clip, names in wanted.items() for name in names.own}
    found = Found.nothing()
    for table in tables:
        for row in hf_shards.rows(table):
            clip = clips.get(row.youtube_id)
            if clip is None or clip in found.paths or clip in found.reasons:
                continue
            content, name = row.audio()
            if content is not None:
                _put(found, clip, content, f"the audio of '{row.youtube_id}' in '{table}'")
            else:
                path = table.parent / (name or "")
                _keep(found, clip, [path] if path.is_file() else [], table.parent)
    for clip in wanted:
        if clip not in found.paths and clip not in found.reasons:
            found.reasons[clip] = f"no row of '{tables[0].parent}' has its id"
            found.absent.add(clip)
    return found


def _keep(found: Found, clip: str, files: list[Path], folder: Path) -> None:
    """One of the paths or reasons for a clip whose files are these."""
    if not files:
        found.reasons[clip] = f"no recording in '{folder}'"
        found.absent.add(clip)
    elif len(files) > 1:
        names = ", ".join(path.name for path in files)
        found.reasons[clip] = f"'{folder}' holds {names}: keep one of them"
    elif files[0].suffix.lower() in OTHER:
        found.reasons[clip] = f"'{files[0]}' is {files[0].suffix}, which is not read; make it WAV"
    elif files[0].suffix.lower() in CONVERTED:
        _put(found, clip, files[0], f"'{files[0]}'")
    elif refusal := _refusal(files[0]):
        found.reasons[clip] = refusal
    else:
        found.paths[clip] = files[0]


def _refusal(path: Path) -> str | None:
    """Why a file of name .wav is none."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        return f"'{path}' cannot be read ({error.strerror})"
    if not head:
        return f"'{path}' is empty"
    return None if _is_wav(head) else f"'{path}' is no WAV file, whatever its name; make it WAV"


def _is_wav(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def _put(found: Found, clip: str, source: Path | bytes, what: str) -> None:
    """The WAV copy of a sound that is in another format, or in no file."""
    try:
        found.paths[clip] = _copy(clip, source)
    except (OSError, RuntimeError) as error:
        found.reasons[clip] = f"{what} cannot be decoded ({error}); make it WAV"


def _copy(clip: str, source: Path | bytes) -> Path:
    """<cache>/recordings/<sha256>/<clip>.wav; 16 bits stay 16, everything else becomes 24."""
    digest = (
        hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else digests.digest(source)
    )
    path = cache_folder() / "recordings" / digest[:16] / f"{clip}.wav"
    if not path.is_file():
        content = source if isinstance(source, bytes) else source.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content if _is_wav(content) else _as_wav(content))
    return path


def _as_wav(content: bytes) -> bytes:
    """The sound of a file that libsndfile reads, all channels, as PCM. Raises RuntimeError."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(content)) as file:
        exact = file.subtype in ("PCM_16", "PCM_S8", "PCM_U8")
        samples = file.read(dtype="int16" if exact else "float32", always_2d=True)
        rate_hz = file.samplerate
    if not len(samples):
        raise RuntimeError("it holds no samples")
    target = io.BytesIO()
    soundfile.write(target, samples, rate_hz, "PCM_16" if exact else "PCM_24", format="WAV")
    return target.getvalue()


def _innermost(place: Path, split: str) -> Path:
    """The folder of audio files itself, in what aac-datasets leaves."""
    roots = [base for base in (place / "AUDIOCAPS", place) if base.is_dir()]
    found = [path / split for root in roots for path in sorted(root.glob("audio_*Hz"))]
    found = [path for path in found if path.is_dir()]
    if len(found) > 1:
        names = ", ".join(f"'{path}'" for path in found)
        raise StabenchError(f"recordings '{place}' are there at several rates; give one of {names}")
    return found[0] if found else place
