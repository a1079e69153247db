"""A system that has already spoken: WAV files of a folder, played back by clip id."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from stabench.systems.contract import Representation, Spans, Utterance, Waveform


class Recorded:
    """Outputs of a system that cannot be run here: `<directory>/<clip id>.wav` at its own rate.

    All files have the rate of the first, `sample_rate` (Hz).
    """

    speech_rate_hz = 16_000
    reads_caption = False
    replays = True

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self.sample_rate = 0

    def load(self, device: str, dtype: str) -> None:
        """Learn the rate. Raises FileNotFoundError when the folder is missing or holds no WAV."""
        self._files = sorted(self._directory.glob("*.wav"))
        if not self._files:
            raise FileNotFoundError(f"no .wav file in '{self._directory}'; give a folder of them")
        self.sample_rate = soundfile.info(self._files[0]).samplerate

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """The clip's id. Raises FileNotFoundError when nothing was recorded for it."""
        path = self._directory / f"{speech.clip_id}.wav"
        if not path.is_file():
            raise FileNotFoundError(f"clip '{speech.clip_id}': no recording '{path}'")
        return Representation(path)

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """The recordings, channels averaged; the seeds change nothing."""
        waveforms = []
        with spans("read"):
            for representation in representations:
                samples, rate_hz = soundfile.read(
                    representation.payload, dtype="float32", always_2d=True
                )
                waveforms.append(Waveform(np.ascontiguousarray(samples.mean(axis=1)), rate_hz))
        return waveforms

    def provenance(self) -> dict[str, object]:
        """How many files there are, and the sha256 of their names and bytes."""
        digest = hashlib.sha256()
        for path in self._files:
            # The zero keeps a name and the bytes after it apart: no name holds one.
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return {"files": len(self._files), "sha256": digest.hexdigest()}
