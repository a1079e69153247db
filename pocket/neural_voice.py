"""A voice that recognisers of today can read: hibari's network, phonemes in, a spectrum out.

The network is a published file (weights 'hibari-heart', Apache-2.0) that a package installs; no
code of the package runs. It was distilled from Kokoro-82M, whose alphabet of phonemes it reads.
"""

# ruff: noqa: RUF001, RUF002 (phonetic letters look like others)

import json
import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from stabench.pocket.speech import Spoken, record

WEIGHTS = "hibari-heart"
# Of its spectra: rate, samples of a frame (a periodic Hann window) and between frames.
NATIVE_HZ, FRAME, HOP = 24_000, 1200, 300
# The voice's harmonics end below the first; a pitch below the second means no voice.
HIGHEST_HZ, VOICED_HZ = 11_000.0, 40.0
# Logarithms of magnitudes are cut here before they are raised.
LOUDEST = 7.0

# espeak-ng's American English to the alphabet of Kokoro, longest first: diphthongs and affricates
# are one letter, vowels have no length, r-coloured vowels are written out, a flapped t is T.
_LETTERS = {
    "ɜːɹ": "ɜɹ", "aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "ɔɪ": "Y", "dʒ": "ʤ", "tʃ": "ʧ",
    "ɜː": "ɜɹ", "oː": "ɔ", "ɚ": "əɹ", "ɾ": "T", "ᵻ": "ə", "ɫ": "l", "r": "ɹ", "x": "k", "ː": "",
}  # fmt: skip
_PARTS = re.compile("|".join(_LETTERS))
# In a word, as in "applause"; the article keeps its own letter.
_WEAK_A = re.compile(r"\bɐ(?!n?\b)")


class Heard(NamedTuple):
    """What the network gives, float64 [601, F] and `pitch_hz` [F], for F frames of 12.5 ms.

    The spectrum is the sum of a voice (logarithm of its magnitude, turn of its phase), noise
    (logarithm of its magnitude) and a rest (logarithm of its magnitude, phase).
    """

    voice: np.ndarray
    turn: np.ndarray
    noise: np.ndarray
    rest: np.ndarray
    phase: np.ndarray
    pitch_hz: np.ndarray


class NeuralVoice:
    """hibari's voice "heart", on one thread; `load` checks the sha256 of its files."""

    def __init__(self) -> None:
        self.session: Any = None

    def load(self) -> "NeuralVoice":
        """Read the network. Raises FileNotFoundError with what to install, ValueError for another
        file than the published one, ModuleNotFoundError without onnxruntime."""
        import onnxruntime

        from stabench.checkpoints import catalogue, store

        folder = store.locate(WEIGHTS)
        store.verify(folder, catalogue.entry(WEIGHTS))
        self.letters: dict[str, int] = json.loads((folder / "vocab.json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "hibari.onnx"), options, providers=["CPUExecutionProvider"]
        )
        return self

    def say(self, text: str, rng: np.random.Generator) -> np.ndarray:
        """Speak a sentence: float64 [T] at 24 kHz, its noise drawn from `rng`.

        Raises ValueError for a phoneme that the voice does not know.
        """
        from stabench.systems.tts.vits import phonemes

        spelled = respell(phonemes(text))
        unknown = [letter for letter in spelled if letter not in self.letters]
        if unknown or not spelled:
            raise ValueError(
                f"text {text!r} is /{spelled}/ in phonemes, the neural voice has no "
                f"{unknown[0] if unknown else 'silence'!r}; say it in other words"
            )
        # As Kokoro does: its padding, 0, begins and ends a sentence.
        ids = [0, *(self.letters[letter] for letter in spelled), 0]
        inputs = {"ids": np.array([ids], np.int64), "speed": np.ones(1, np.float32)}
        parts = [part[0].astype(np.float64) for part in self.session.run(None, inputs)]
        return waveform(Heard(*parts), rng)


def respell(ipa: str) -> str:
    """Return espeak-ng's phonemes of American English in the letters of Kokoro.

    >>> respell("ɐ tʃˈaɪld ɐplˈɔːdz bˈɜːdz")
    'ɐ ʧˈIld əplˈɔdz bˈɜɹdz'
    """
    return _PARTS.sub(lambda part: _LETTERS[part[0]], _WEAK_A.sub("ə", ipa.strip()))


def waveform(heard: Heard, rng: np.random.Generator) -> np.ndarray:
    """Return the sound [300 F] of the network's spectra, by an inverse short-time transform."""
    frames = len(heard.pitch_hz)
    spectrum = _limit_magnitude(heard.voice) * np.exp(1j * np.pi * np.tanh(heard.turn))
    spectrum *= _transform(pulses(heard.pitch_hz), frames)
    shape = heard.noise.shape
    hiss = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    spectrum += _limit_magnitude(heard.noise) * hiss
    spectrum += _limit_magnitude(heard.rest) * np.exp(1j * heard.phase)
    return _invert(spectrum)


def pulses(pitch_hz: np.ndarray) -> np.ndarray:
    """Return a train of pulses [300 F]: all harmonics of the pitch below 11 kHz, each of size 1.

    sum_{k=1..K} cos(k t) = sin((K + 1/2) t) / (2 sin(t / 2)) - 1/2 (Dirichlet's kernel).
    """
    samples = np.arange(len(pitch_hz) * HOP)
    middles = (np.arange(len(pitch_hz)) + 0.5) * HOP - 0.5
    pitch = np.interp(samples, middles, pitch_hz)
    voiced = pitch > VOICED_HZ
    pitch = np.maximum(pitch, VOICED_HZ)
    turns = np.cumsum(pitch) / NATIVE_HZ
    half = np.pi * (turns % 1.0)
    count = np.floor(HIGHEST_HZ / pitch)
    below = np.sin(half)
    # At whole turns both sines are zero and the quotient is 2 K + 1.
    near = np.abs(below) < 1e-9
    ratio = np.where(near, 2 * count + 1, np.sin((2 * count + 1) * half) / np.where(near, 1, below))
    return np.where(voiced, (ratio - 1) / 2, 0.0)


def recorded(text: str, rng: np.random.Generator) -> np.ndarray:
    """Speak `text` in the room that the pocket's other voices are recorded in: [T] at 16 kHz."""
    from scipy.signal import resample_poly

    # `record` expects espeak-ng's rate.
    spoken = resample_poly(_load_voice().say(text, rng), 147, 160)
    return record(Spoken(spoken, 22_050, ()), rng)


@cache
def _load_voice() -> NeuralVoice:
    return NeuralVoice().load()


def _limit_magnitude(logarithm: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(logarithm, LOUDEST))


@cache
def _build_window() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


def _transform(samples: np.ndarray, frames: int) -> np.ndarray:
    """Return spectra [601, F], frame f centred on sample 300 f; a cosine of size 1 peaks at 1."""
    padded = np.pad(samples, FRAME // 2, mode="reflect")
    cut = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:frames]
    return np.fft.rfft(cut * _build_window() / (FRAME / 4), axis=1).T


def _invert(spectrum: np.ndarray) -> np.ndarray:
    """Return the samples [300 F] whose windowed frames these are, by least squares."""
    frames = spectrum.shape[1]
    parts = np.fft.irfft(spectrum.T, FRAME, axis=1) * _build_window()
    total = np.zeros((frames - 1) * HOP + FRAME)
    weight = np.zeros_like(total)
    for number, part in enumerate(parts):
        place = slice(number * HOP, number * HOP + FRAME)
        total[place] += part
        weight[place] += _build_window() ** 2
    middle = slice(FRAME // 2, FRAME // 2 + frames * HOP)
    return total[middle] / np.maximum(weight[middle], 1e-11)
