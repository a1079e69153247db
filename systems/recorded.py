"""A system that has already spoken: WAV files of a folder, played back by clip id."""

import hashlib
import os
import sys
from pathlib import Path

from stabench.metrics.audio import decode, measure_rate, mono
from stabench.metrics.wav_folder import describe_near, list_wavs
from stabench.metrics.wav_header import AudioError
from stabench.systems.contract import Representation, Spans, Utterance, Waveform


class Recorded:
    """Outputs of a system that cannot be run here: `<directory>/<clip id>.wav` at its own rate.

    All files have the rate of the first that is a WAV, `sample_rate` (Hz).
    """

    speech_rate_hz = 16_000
    reads_caption = False
    replays = True

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self.sample_rate = 0

    def load(self, device: str, dtype: str) -> None:
        """Learn names and rate. Raises FileNotFoundError for a folder without a readable WAV."""
        if not self._directory.is_dir() or not (wavs := list_wavs(self._directory)).paths:
            raise FileNotFoundError(f"no .wav file in '{self._directory}'; give a folder of them")
        if wavs.skipped:
            count, first = len(wavs.skipped), wavs.skipped[0].name
            print(f"skipped, of macOS and without sound: {count} (first {first})", file=sys.stderr)
        self._files = wavs.by_name()
        faults = []
        for path in self._files.values():
            try:
                self.sample_rate = measure_rate(path)
                return
            except AudioError as error:
                faults.append(error)
        raise FileNotFoundError(f"no .wav file that can be read; the first: {faults[0]}")

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """The clip's file. Raises FileNotFoundError when nothing was recorded for it."""
        path = self._files.get(speech.clip_id)
        if path is None:
            near = describe_near(speech.clip_id, self._files)
            what = f"clip '{speech.clip_id}': no recording in '{self._directory}'"
            raise FileNotFoundError(f"{what}; {near}" if near else what)
        return Representation(path)

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """The recordings, channels averaged; the seeds change nothing."""
        with spans("read"):
            sounds = [decode(representation.payload) for representation in representations]
            return [Waveform(mono(sound.samples, "mean"), sound.rate_hz) for sound in sounds]

    def provenance(self) -> dict[str, object]:
        """How many files there are, and the sha256 of their names and bytes."""
        digest = hashlib.sha256()
        for path in self._files.values():
            content = path.read_bytes() if path.is_file() else b""
            # The zero keeps a name and the bytes after it apart: no name holds one.
            digest.update(os.fsencode(path.name) + b"\0" + content)
        return {"files": len(self._files), "sha256": digest.hexdigest()}
