"""The folders of --sound-from: which sounds of a page lie in them, and which folders are of no use.

Scores of folders keep no sound and no path, but a sha256 of all that was heard. A folder is known
by it, whatever it is called, so that no other sound gets into the page. Speech was heard by nobody
here: its folder is taken at the reader's word.
"""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from stabench.harness.environment import usable_cores
from stabench.harness.errors import MissingError, StabenchError, unknown
from stabench.harness.report.html.audio_previews import (
    Source,
    Sources,
    find_dataset_file,
    find_sources,
)
from stabench.harness.report.html.clips import ClipView, Entrant, list_entrants
from stabench.harness.runs.audio_digest import BROKEN, of_clips, of_recordings, of_sound
from stabench.harness.runs.metrics_file import MetricsFile
from stabench.harness.runs.results import Results
from stabench.metrics.wav_folder import list_wavs, name_of

SPEECH, RECORDINGS = "speech", "reference"


class SoundFolder(NamedTuple):
    """One folder as it was given: `text` is "DIR" or "NAME=DIR"; `name` is empty without one."""

    text: str
    name: str
    path: Path


class Unused(NamedTuple):
    """A folder of which nothing is used, and why."""

    folder: SoundFolder
    why: str

    @property
    def line(self) -> str:
        """What a page says of it: without the machine's path, for a page is sent to others."""
        name = f"{self.folder.name}=" if self.folder.name else ""
        return f"Folder {name}{self.folder.path.resolve().name} is not used: {self.why}."


class Found(NamedTuple):
    """The sources of every clip, and the folders of which nothing is used."""

    sources: list[Sources]
    unused: tuple[Unused, ...]


def parse_sound_folders(given: Sequence[Path], results: Results) -> list[SoundFolder]:
    """Return the folders of "DIR" or "NAME=DIR", where NAME is a system, `speech` or `reference`.

    Raises MissingError for a folder that is not there, StabenchError for another name.
    """
    names = (*(system.name for system in list_entrants(results)), SPEECH, RECORDINGS)
    folders = []
    for text in map(str, given):
        name, equals, place = text.partition("=")
        # A folder's own name may hold "=".
        if not equals or Path(text).is_dir():
            name, place = "", text
        if not Path(place).is_dir():
            raise MissingError(
                f"--sound-from '{text}': no such folder; give a folder of WAVs, or NAME=DIR"
            )
        if name and name not in names:
            raise StabenchError(f"--sound-from '{text}': {unknown('name', name, names)}")
        folders.append(SoundFolder(text, name, Path(place)))
    return folders


def find_sounds(
    results: Results,
    clips: Sequence[ClipView],
    systems: Sequence[Entrant],
    folders: Sequence[SoundFolder],
) -> Found:
    """Return where the sounds of every clip lie, in the run or in the folders."""
    if results.run is None:
        return _find_scored(results.metrics, clips, systems, folders)
    # Outputs are those of the run folder, so only speech and recordings are looked for.
    others = [folder for folder in folders if folder.name in ("", SPEECH, RECORDINGS)]
    sources = find_sources(results, systems, [folder.path for folder in others])
    files = [
        source.path.resolve()
        for clip in sources
        for source in (clip.speech, clip.reference)
        if source.path
    ]
    unused = []
    for folder in folders:
        if folder not in others:
            unused.append(Unused(folder, "the outputs of a run lie in its own folder"))
        elif not any(file.is_relative_to(folder.path.resolve()) for file in files):
            unused.append(Unused(folder, "no speech and no recording of the run lies there"))
    return Found(sources, tuple(unused))


class Wavs:
    """The WAVs of one folder by stem, and what each sounds like once it is asked."""

    def __init__(self, folder: Path) -> None:
        self.files = {name_of(path): path for path in list_wavs(folder).paths}

    @cached_property
    def contents(self) -> dict[str, str | None]:
        """The sha256 of the samples of every file, by stem; None of one that cannot be decoded."""
        return {stem: heard[0] if heard else None for stem, heard in self._heard.items()}

    @cached_property
    def keys(self) -> dict[str, str]:
        """Every sound as scoring names it (runs/audio_digest.py)."""
        return {stem: of_sound(*heard) if heard else BROKEN for stem, heard in self._heard.items()}

    @cached_property
    def _heard(self) -> dict[str, tuple[str, int] | None]:
        # Decoding leaves the interpreter free, so threads share it.
        with ThreadPoolExecutor(usable_cores()) as pool:
            return dict(zip(self.files, pool.map(_identify, self.files.values()), strict=True))


def _identify(path: Path) -> tuple[str, int] | None:
    """Return the sha256 of a file's samples and their rate, or None."""
    from stabench.metrics.audio import AudioError, content_sha256, decode

    try:
        audio = decode(path)
    except (AudioError, OSError):
        return None
    return content_sha256(audio.samples), audio.rate_hz


def _find_scored(
    metrics: MetricsFile | None,
    clips: Sequence[ClipView],
    systems: Sequence[Entrant],
    folders: Sequence[SoundFolder],
) -> Found:
    if metrics is None or not folders:
        return Found([], ())
    # The WAVs of each role; the first folder that fits has it.
    roles: dict[str, Wavs] = {}
    unused = []
    for folder in folders:
        parts = list(_split_folder(folder, [*metrics.systems, SPEECH, RECORDINGS]))
        fitting = [
            (role, wavs) for name, wavs in parts for role in _find_roles(metrics, name, wavs)
        ]
        for role, wavs in fitting:
            roles.setdefault(role, wavs)
        if not fitting:
            unused.append(Unused(folder, _explain_misfit(parts)))
    return Found(
        [
            Sources(
                _find_speech(roles.get(SPEECH), clip.id),
                _find_heard(roles.get(RECORDINGS), clip.id, RECORDINGS),
                tuple(_find_heard(roles.get(each.name), clip.id, each.name) for each in systems),
            )
            for clip in clips
        ],
        tuple(unused),
    )


def _split_folder(folder: SoundFolder, names: Collection[str]) -> Iterator[tuple[str, Wavs]]:
    """Yield the folder with its name or, where only folders of such names are in it, those."""
    wavs = Wavs(folder.path)
    if folder.name or wavs.files:
        # A folder that is called "speech" needs no other word for it.
        called = SPEECH if folder.path.name == SPEECH else ""
        yield folder.name or called, wavs
        return
    for name in names:
        if (folder.path / name).is_dir() and (inner := Wavs(folder.path / name)).files:
            yield name, inner


def _find_roles(metrics: MetricsFile, name: str, wavs: Wavs) -> Iterator[str]:
    """Yield what a folder holds: the outputs of systems, recordings, or speech."""
    for system, record in metrics.systems.items():
        # Of sets without a value for each clip the files say what the clips are.
        for asked in ({*record.per_clip, *record.failures}, set(wavs.files)):
            sounds = {
                clip: BROKEN if clip in record.failures else wavs.keys.get(clip, BROKEN)
                for clip in asked
            }
            if name in ("", system) and record.audio_sha256 == of_clips(sounds) is not None:
                yield system
                break
    if name in ("", RECORDINGS):
        heard = {stem: key for stem, key in wavs.keys.items() if key != BROKEN}
        # Paired by stem; other pairs (a table's) are in no file of the scores.
        digest = of_recordings(heard, {stem: (stem,) for stem in wavs.files})
        if digest is not None and digest == metrics.references.audio_sha256:
            yield RECORDINGS
    clips = {
        clip for record in metrics.systems.values() for clip in (*record.per_clip, *record.failures)
    }
    if name == SPEECH and clips & wavs.files.keys():
        yield SPEECH


def _explain_misfit(parts: Sequence[tuple[str, Wavs]]) -> str:
    """Return in a few words why nothing of the folder is used."""
    if not any(wavs.files for _, wavs in parts):
        return "no .wav file in it, and no folder of WAVs named as a system"
    name = parts[0][0]
    if name == SPEECH:
        return "no file in it is named as a clip"
    if name == RECORDINGS:
        return "not the recordings that were scored, or not paired with the clips by file name"
    if name:
        return f"not the outputs of {name} that were scored (their sha256 differs)"
    return (
        "neither outputs nor recordings that were scored (their sha256 differs); for speech give "
        f"{SPEECH}=DIR"
    )


def _find_heard(wavs: Wavs | None, clip: str, name: str) -> Source:
    """Return a sound that was scored, to be read again only if it is still the same."""
    if wavs is None:
        return Source(None, reason=f"its folder is not known; give --sound-from {name}=DIR")
    content = wavs.contents.get(clip)
    return Source(wavs.files[clip], content) if content else Source(None, reason="no such file")


def _find_speech(wavs: Wavs | None, clip: str) -> Source:
    if wavs is None:
        return Source(None, reason=f"its folder is not known; give --sound-from {SPEECH}=DIR")
    path = wavs.files.get(clip)
    return find_dataset_file(path, [path.parent.resolve()] if path else [], "no such file")
