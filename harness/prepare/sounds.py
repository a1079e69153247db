"""What sounds hold: each is read and checked once and noted, and so not read again on resuming."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from stabench.harness.prepare.pool import map_in_order
from stabench.harness.prepare.progress import Steps
from stabench.metrics.audio import content_sha256, decode, mono
from stabench.metrics.resample import resample
from stabench.metrics.wav_header import AudioError

# A peak below this is silence: under one step of 16 bits, which is what a muted video decodes to.
SILENCE = 2**-15
Job = TypeVar("Job")


class Reading(NamedTuple):
    """How a file is read: at `rate_hz`, its header's rate replaced by `header_rate_hz` if given.

    Faults are a header's rate under `least_rate_hz`, less than `shortest_s`, more than `longest_s`,
    and silence.
    """

    rate_hz: int
    header_rate_hz: int | None = None
    least_rate_hz: int = 0
    shortest_s: float = 0.0
    longest_s: float = float("inf")


class Sound(NamedTuple):
    """What a file holds: sha256 of its samples as they are read, and their number; or its fault."""

    sha256: str
    samples: int
    fault: str | None = None


def read_samples(path: Path, reading: Reading) -> np.ndarray:
    """Return the file's samples float32 [N], the mean of its channels, resampled.

    Nothing is cropped or made louder. Raises AudioError, one line, for what `Reading` calls faults
    and for a file that cannot be read.
    """
    samples, from_hz = decode(path)
    if from_hz < reading.least_rate_hz:
        raise AudioError(
            f"{path}: its rate is {from_hz} Hz, least_rate_hz of the recipe is "
            f"{reading.least_rate_hz}; get a better recording"
        )
    from_hz = reading.header_rate_hz or from_hz
    if len(samples) > reading.longest_s * from_hz:
        raise AudioError(
            f"{path}: lasts {len(samples) / from_hz:.1f} s, longest_s of the recipe is "
            f"{reading.longest_s:g}; cut the clip out of its video"
        )
    if len(samples) < reading.shortest_s * from_hz:
        raise AudioError(
            f"{path}: lasts {len(samples) / from_hz:.3f} s, expected {reading.shortest_s:g} s or "
            "more; get the whole clip"
        )
    mixed = mono(samples, "mean")
    if float(np.abs(mixed).max()) < SILENCE:
        raise AudioError(f"{path}: is silent; get another recording")
    try:
        return resample(mixed, from_hz, reading.rate_hz)
    except ValueError as error:
        raise AudioError(f"{path}: {error}") from error


class SoundNotes:
    """Sounds by file and reading, in an append-only file; a torn last line is dropped.

    A note holds while size and modification time of its file stay what they were.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notes: dict[str, Sound] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            with suppress(ValueError, KeyError):
                note = json.loads(line)
                self._notes[note["key"]] = Sound(note["sha256"], note["samples"], note["fault"])

    def hear(
        self,
        step: str,
        jobs: Mapping[Path, Job],
        work: Callable[[Job], Sound],
        reading: Reading,
        steps: Steps,
        workers: int = 1,
    ) -> dict[Path, Sound]:
        """Return the sound of every file; `work` does the job of one that is not noted yet.

        A job is what `work` needs to know of a file: it makes the file, too, if that is its task.
        """
        keys = {path: self._key(path, reading) for path in jobs}
        missing = [path for path in jobs if keys[path] not in self._notes]
        steps.begin(step, len(jobs), len(jobs) - len(missing))
        sounds = map_in_order(work, [jobs[path] for path in missing], workers)
        with self._path.open("a", encoding="utf-8") as file:
            for path, sound in zip(missing, sounds, strict=True):
                # Anew: a file that was made just now has its size and time just now.
                keys[path] = key = self._key(path, reading)
                self._notes[key] = sound
                file.write(json.dumps({"key": key, **sound._asdict()}) + "\n")
                file.flush()
                steps.advance()
        return {path: self._notes[key] for path, key in keys.items()}

    @staticmethod
    def _key(path: Path, reading: Reading) -> str:
        try:
            status = path.stat()
            state = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError as error:
            state = f"{error.errno}"
        text = os.fsencode(f"{path}\0{state}\0{reading}")
        return hashlib.sha256(text).hexdigest()[:32]


def hear_file(reading: Reading, path: Path) -> Sound:
    """Return what a file holds, or its fault."""
    try:
        samples = read_samples(path, reading)
    except AudioError as error:
        return Sound("", 0, str(error))
    return Sound(content_sha256(samples), len(samples))
