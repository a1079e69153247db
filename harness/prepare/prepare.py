"""`stabench prepare`: from AudioCaps to what training reads, step by step, each resumable.

Every step keeps what it finished (checked sounds, spoken captions, shards of features) and goes on
with the rest, so that a command that was killed ends in the same files.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stabench.checkpoints.digests import digest, locked
from stabench.harness.datasets.audioset import Classes
from stabench.harness.datasets.dataset import Clip
from stabench.harness.datasets.spoken import Voice
from stabench.harness.errors import StabenchError
from stabench.harness.prepare.clips import (
    Failure,
    Row,
    Selection,
    add_labels,
    check_failures,
    select_clips,
    shorten_path,
    write_failures,
    write_table,
)
from stabench.harness.prepare.features import Content, Network
from stabench.harness.prepare.progress import Steps
from stabench.harness.prepare.recipe import Data
from stabench.harness.prepare.record import (
    CLIPS,
    FAILED,
    Prepared,
    Record,
    add_split,
    compute_sha256,
)
from stabench.harness.prepare.sounds import (
    Reading,
    Sound,
    SoundNotes,
    hear_file,
    read_samples,
)
from stabench.metrics.audio import content_sha256

NOTES = "sounds.jsonl"
# What every speech encoder is given, and what recordings are checked at where there is no VAE.
SPEECH_HZ, RECORDING_HZ = 16_000, 24_000
# A recording of less is what a broken download leaves.
SHORTEST_S = 0.1
# By how much a header's rate may differ from the true one: a mistake, and no other voice.
HEADER_TOLERANCE = 0.01


class Heard(NamedTuple):
    """A file of a row: where it is, what it holds, and how it was read."""

    path: Path
    sound: Sound
    reading: Reading


class Networks(NamedTuple):
    """What the recipe names; a network is loaded when features are missing."""

    encoders: tuple[Network, ...]
    vae: Network | None
    voice: Voice


def prepare(
    data: Data,
    folder: Path,
    splits: Sequence[str],
    device: str = "cpu",
    limit: int | None = None,
    workers: int = 1,
) -> Record:
    """Prepare splits into `folder` and return its record; progress goes to standard error.

    `limit` takes the first clips of each CSV alone; `workers` processes speak and read sounds.

    Raises StabenchError for whatever is wrong in the recipe or its files, MissingError for what is
    not there, TooManyFailures where more clips fail than the recipe allows.
    """
    parts = [Network(kind, part, device) for kind, part in data.list_parts()]
    vae = parts.pop() if data.vae else None
    networks = Networks(tuple(parts), vae, Voice(data.voice, data.voice_seed))
    _check_rates(data, networks)
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(sys.stderr)
    try:
        with locked(folder / ".lock", wait=False):
            for split in splits:
                prepared = _Split(data, split, folder / split, networks, steps, workers).prepare(
                    limit
                )
                record = add_split(folder, data, split, prepared)
    except BlockingIOError:
        raise StabenchError(
            f"'{folder}': another stabench prepare is at work in it; wait for it, or give --out"
        ) from None
    return record


def _check_rates(data: Data, networks: Networks) -> None:
    rate_hz = networks.voice.rate_hz
    header_hz = data.header_rate_hz or rate_hz
    if abs(header_hz / rate_hz - 1) > HEADER_TOLERANCE:
        raise StabenchError(
            f"header_rate_hz is {header_hz}, but '{data.voice}' speaks at {rate_hz} Hz; allowed is "
            "1 % more or less: leave it out for the true rate"
        )
    for network in networks.encoders:
        extractor = network.extractor
        if extractor.reads == "speech" and extractor.rate_hz != SPEECH_HZ:
            raise StabenchError(
                f"{network.name}: reads speech at {extractor.rate_hz} Hz, allowed is {SPEECH_HZ}; "
                "resample inside it"
            )


class _Split:
    """One split on its way."""

    def __init__(
        self,
        data: Data,
        split: str,
        folder: Path,
        networks: Networks,
        steps: Steps,
        workers: int,
    ) -> None:
        self._data, self._split, self._folder = data, split, folder
        self._networks, self._steps, self._workers = networks, steps, workers
        folder.mkdir(exist_ok=True)
        self._notes = SoundNotes(folder / NOTES)

    def prepare(self, limit: int | None) -> Prepared:
        """Take every step; return what was made."""
        self._steps.say(f"{self._split}: looking for clips")
        selection = select_clips(self._data, self._split, limit)
        classes: Classes | None = None
        if self._data.labels:
            self._steps.say(f"{self._split}: looking for labels")
            rows, classes = add_labels(selection.rows, self._data.labels, self._folder)
            selection = Selection(rows, selection.failures)
        selection, recorded = self._check_recordings(selection)
        self._report(selection)
        selection, spoken = self._speak(selection)
        self._report(selection)
        rows = selection.rows
        write_table(
            self._folder / CLIPS,
            rows,
            _list_columns(rows, spoken, recorded),
            classes,
            zeros=bool(self._data.labels and self._data.labels.unlabelled == "zeros"),
        )
        networks = self._networks
        features = [self._fill(network, rows, spoken) for network in networks.encoders]
        latents = self._fill(networks.vae, rows, recorded) if networks.vae else None
        return Prepared(
            csv_sha256=digest(Path(str(self._data.csv.of(self._split)))),
            limit=limit,
            clips=len(rows),
            failed=len(selection.failures),
            unlabelled=sum(row.labels is None for row in rows) if classes else 0,
            other_start=sum(row.other_start for row in rows),
            voice_sha256=networks.voice.digest,
            voice_rate_hz=networks.voice.rate_hz,
            clips_sha256=compute_sha256(self._folder / CLIPS),
            features=tuple(features),
            latents=latents,
        )

    def _check_recordings(self, selection: Selection) -> tuple[Selection, dict[str, Heard]]:
        """Return the rows whose recordings can be used, and their recordings by row."""
        vae = self._networks.vae
        reading = Reading(
            rate_hz=vae.extractor.rate_hz if vae else RECORDING_HZ,
            least_rate_hz=self._data.least_rate_hz,
            shortest_s=SHORTEST_S,
            longest_s=self._data.longest_s,
        )
        paths = {row.id: row.recording for row in selection.rows if row.recording}
        jobs = {path: path for path in paths.values()}
        return self._hear(
            "recordings", "clips", selection, paths, jobs, partial(hear_file, reading), reading
        )

    def _speak(self, selection: Selection) -> tuple[Selection, dict[str, Heard]]:
        """Speak the captions; return the rows whose captions can be spoken, and their speech."""
        voice = self._networks.voice
        clips = [
            Clip(row.id, row.caption, voice.path(row.id, row.caption), None)
            for row in selection.rows
        ]
        # A caption that has been spoken need not be asked about again.
        refused = {
            clip.id: reason
            for clip in clips
            if clip.speech and not clip.speech.is_file()
            if (reason := voice.refusal(str(clip.caption)))
        }
        selection = selection.without("speech", refused)
        jobs = {clip.speech: clip for clip in clips if clip.speech and clip.id not in refused}
        paths = {clip.id: path for path, clip in jobs.items()}
        reading = Reading(SPEECH_HZ, self._data.header_rate_hz)
        speak = partial(_speak_clip, self._data.voice, self._data.voice_seed, reading)
        return self._hear("speech", "speech", selection, paths, jobs, speak, reading)

    def _hear(
        self,
        what: str,
        step: str,
        selection: Selection,
        paths: Mapping[str, Path],
        jobs: Mapping[Path, Any],
        work: Callable[..., Sound],
        reading: Reading,
    ) -> tuple[Selection, dict[str, Heard]]:
        """Return the rows whose files of `paths` can be used, and what these hold."""
        if not paths:
            return selection, {}
        sounds = self._notes.hear(
            f"{self._split}: {what}",
            jobs,
            work,
            reading,
            self._steps,
            self._workers,
        )
        faults = {name: fault for name, path in paths.items() if (fault := sounds[path].fault)}
        heard = {name: Heard(path, sounds[path], reading) for name, path in paths.items()}
        return selection.without(step, faults), heard

    def _report(self, selection: Selection) -> None:
        """Write what failed and who has no labels; raise TooManyFailures for too many."""
        bare = [row for row in selection.rows if self._data.labels and row.labels is None]
        why = "no segment of AudioSet's files is it: kept out of stage 1"
        if self._data.labels and self._data.labels.unlabelled == "zeros":
            why = "no segment of AudioSet's files is it: a clip of no class in stage 1"
        unlabelled = [Failure(row.id, "labels", why) for row in bare]
        path = self._folder / FAILED
        write_failures(path, [*selection.failures, *unlabelled])
        check_failures(self._split, self._data, selection, path)

    def _fill(self, network: Network, rows: Sequence[Row], heard: Mapping[str, Heard]) -> Any:
        contents = [_make_content(network, row, heard) for row in rows]
        return network.fill(self._folder, contents, self._steps, self._split)


def _speak_clip(voice: str, seed: int, reading: Reading, clip: Clip) -> Sound:
    """Speak a clip's caption unless that was done; return what its file holds."""
    assert clip.speech is not None, "a voice gives every clip a path"
    _find_voice(voice, seed).render([clip])
    return hear_file(reading, clip.speech)


# Once in every process: its weights take a second to read.
_find_voice = cache(Voice)


def _make_content(network: Network, row: Row, heard: Mapping[str, Heard]) -> Content:
    if network.extractor.reads == "captions":
        text = row.caption
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return Content(sha256, row.id, len(text), lambda: text)
    path, sound, reading = heard[row.id]
    read = partial(_read_again, path, reading, sound.sha256)
    return Content(sound.sha256, row.id, sound.samples, read)


def _read_again(path: Path, reading: Reading, sha256: str) -> np.ndarray:
    samples = read_samples(path, reading)
    if content_sha256(samples) != sha256:
        raise StabenchError(f"'{path}': changed while its features were made; start again")
    return samples


def _list_columns(
    rows: Sequence[Row], spoken: Mapping[str, Heard], recorded: Mapping[str, Heard]
) -> dict[str, list]:
    """Return the columns of speech and recording: file, sha256 of the samples, length in s."""
    columns: dict[str, list] = {}
    for name, heard in (("speech", spoken), ("recording", recorded)):
        files = [heard.get(row.id) for row in rows]
        columns[name] = [file and shorten_path(file.path) for file in files]
        columns[f"{name}_sha256"] = [file and file.sound.sha256 for file in files]
        columns[f"{name}_s"] = [
            file and file.sound.samples / file.reading.rate_hz for file in files
        ]
    return columns
