"""PocketSphinx as a cascade's recogniser: its acoustic model comes in its wheel."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stabench.checkpoints.digests import sha256
from stabench.systems.contract import Spans, Transcript, Utterance

FULL_SCALE = 32768


class PocketSphinx:
    """A 2010s recogniser (semi-continuous HMMs, trigram): small and offline, not today's best.

    `lm` is an ARPA or binary language model, `dictionary` the words that it may use; without them
    the general English ones of the wheel. `noise_floor_rms` (of full scale) is added to every
    utterance: digitally clean speech derails the acoustic model. The noise is drawn from the
    utterance's own content, so the same speech gives the same text in any order.
    """

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False

    def __init__(
        self,
        lm: str | Path | None = None,
        dictionary: str | Path | None = None,
        noise_floor_rms: float = 1e-3,
        language_weight: float | None = None,
    ) -> None:
        if not 0 <= noise_floor_rms < 0.1:
            raise ValueError(
                f"noise_floor_rms is {noise_floor_rms}, allowed are 0 to 0.1 of full scale"
            )
        self.lm = None if lm is None else Path(lm)
        self.dictionary = None if dictionary is None else Path(dictionary)
        self.noise_floor_rms = noise_floor_rms
        self.language_weight = language_weight
        self._decoder: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read the models; the decoder runs on the CPU whatever `device` is."""
        for path in (self.lm, self.dictionary):
            if path is not None and not path.is_file():
                raise FileNotFoundError(f"{path}: no such file; train it again, or leave it out")
        import pocketsphinx

        # Options that are left out have the wheel's own models and weight as defaults.
        options: dict[str, Any] = {"loglevel": "FATAL"}
        if self.lm is not None:
            options["lm"] = str(self.lm)
        if self.dictionary is not None:
            options["dict"] = str(self.dictionary)
        if self.language_weight is not None:
            options["lw"] = self.language_weight
        self._decoder = pocketsphinx.Decoder(samprate=float(self.speech_rate_hz), **options)

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        if self._decoder is None:
            raise RuntimeError("PocketSphinx is not loaded; call load(device, dtype) first")
        if speech.rate_hz != self.speech_rate_hz:
            raise ValueError(
                f"clip '{speech.clip_id}': speech is {speech.rate_hz} Hz, expected "
                f"{self.speech_rate_hz} Hz; resample it before"
            )
        with spans("asr.decode"):
            samples = to_int16(speech.samples, self.noise_floor_rms)
            # Feature extraction keeps running means: without a reset the order of clips matters.
            self._decoder.reinit_feat()
            self._decoder.start_utt()
            try:
                # process_raw takes no empty buffer.
                if len(samples):
                    self._decoder.process_raw(samples.tobytes(), full_utt=True)
            finally:
                # An utterance that stays open would make every later start_utt fail.
                self._decoder.end_utt()
            hypothesis = self._decoder.hyp()
            text = "" if hypothesis is None else hypothesis.hypstr
        return Transcript(text, len(text.split()))

    def provenance(self) -> dict[str, Any]:
        """The library's version, what its words and probabilities come from, the settings."""
        return {
            "pocketsphinx": importlib.metadata.version("pocketsphinx"),
            "lm": "wheel" if self.lm is None else sha256(self.lm),
            "dictionary": "wheel" if self.dictionary is None else sha256(self.dictionary),
            "noise_floor_rms": self.noise_floor_rms,
            "language_weight": self.language_weight,
        }


def to_int16(samples: np.ndarray, noise_floor_rms: float) -> np.ndarray:
    """Waveform within +-1 to int16, with white noise of that RMS seeded by the samples."""
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    seed = int.from_bytes(hashlib.sha256(samples.tobytes()).digest()[:8], "little")
    noise = np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)
    # int16 reaches from -32768 to 32767: full scale itself would wrap around.
    scaled = np.rint((samples + noise_floor_rms * noise) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
