"""Networks for the tests of scoring: quick, deterministic, without torch or weights."""

import hashlib
from typing import ClassVar

import numpy as np

from stabench.metrics.contract import Features

EVENTS = ("low", "middle", "high")


def bands(samples: np.ndarray, count: int) -> np.ndarray:
    """Mean magnitude of the spectrum in `count` equal bands [count]."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64))) / len(samples)
    return np.array([part.mean() for part in np.array_split(spectrum, count)])


class Listener:
    """What the three share; `calls` counts the waveforms that were really embedded."""

    rate_hz = 16_000
    sha256 = "ab" * 32
    origin = "made for a test"
    licence = "Apache-2.0"
    calls: ClassVar[list[int]] = []
    loads: ClassVar[list[str]] = []

    @property
    def identity(self) -> str:
        return f"{type(self).__name__} {self.sha256}"

    def load(self, device: str, precision: str = "float32") -> None:
        self.loads.append(type(self).__name__)

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        self.calls.append(len(waveforms))
        return [self.one(waveform) for waveform in waveforms]

    def one(self, waveform: np.ndarray) -> Features:
        raise NotImplementedError


class Frames(Listener):
    """Like VGGish: an embedding for each tenth of a second."""

    def one(self, waveform: np.ndarray) -> Features:
        count = max(len(waveform) // 1_600, 1)
        frames = [bands(part, 3) for part in np.array_split(waveform, count)]
        return Features(np.log(np.array(frames) + 1e-4).astype(np.float32))


class Tagger(Listener):
    """Like CNN14: one embedding, a logit for each band, heard above -8.

    The rate is half, so that a clip must be resampled twice.
    """

    rate_hz = 8_000
    labels = EVENTS
    thresholds = np.full(3, -8.0)

    def one(self, waveform: np.ndarray) -> Features:
        logits = np.log(bands(waveform, 3) + 1e-6).astype(np.float32)
        return Features(np.log(bands(waveform, 8) + 1e-4).astype(np.float32)[None], logits)


class Untrained(Tagger):
    """A tagger on random weights."""

    origin = "random, seed 0"


class UntrainedFrames(Frames):
    """Likewise."""

    origin = "random, seed 0"


class Matcher(Listener):
    """Like CLAP: sounds and texts in one space of three bands."""

    def one(self, waveform: np.ndarray) -> Features:
        direction = bands(waveform, 3) + 1e-6
        return Features((direction / np.linalg.norm(direction)).astype(np.float32)[None])

    def embed_text(self, captions: list[str]) -> np.ndarray:
        rows = np.array([[event in caption for event in EVENTS] for caption in captions], float)
        rows += 1e-3
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Absent(Frames):
    """A network whose weights were never fetched."""

    def load(self, device: str, precision: str = "float32") -> None:
        raise FileNotFoundError("weights file /nowhere/model.safetensors is missing")


class Broken(Frames):
    """A network that gives NaN for loud sounds."""

    sha256 = hashlib.sha256(b"broken").hexdigest()

    def one(self, waveform: np.ndarray) -> Features:
        frames = super().one(waveform).embeddings
        return Features(frames * (np.nan if np.abs(waveform).max() > 0.9 else 1))
