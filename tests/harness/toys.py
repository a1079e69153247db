"""Toy systems for the tests of the engine: quick, without torch, faulty on demand."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from stabench.systems.contract import Representation, Spans, Utterance, Waveform


def spin(duration_ms: float) -> None:
    """Work for so long: a stage that takes time without sleeping."""
    end = time.perf_counter_ns() + round(duration_ms * 1e6)
    while time.perf_counter_ns() < end:
        pass


class Toy:
    """Noise from the clip's seed; `fault` happens in the phase `where`, in clips of `clips`."""

    speech_rate_hz = 16_000
    reads_caption = False

    def __init__(
        self,
        fault: str = "",
        where: str = "generate",
        clips: list[str] | None = None,
        spin_ms: float = 0.0,
        samples: int = 1_600,
        marker: str = "",
    ) -> None:
        self._fault = fault
        self._where = where
        self._clips = clips
        self._spin_ms = spin_ms
        self._samples = samples
        self._marker = marker
        self.sample_rate = 16_000

    def load(self, device: str, dtype: str) -> None:
        if self._where == "load":
            self._misbehave()

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        with spans("listen"):
            spin(self._spin_ms)
            self._maybe("represent", speech.clip_id)
            loudness = float(np.abs(speech.samples).mean())
        if self._fault == "dict":
            return {"id": speech.clip_id}
        return Representation((speech.clip_id, loudness), f"{speech.clip_id} said", 3)

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        with spans("speak"):
            spin(self._spin_ms)
            for representation in representations:
                self._maybe("generate", representation.payload[0])
            return [self._waveform(*pair) for pair in zip(representations, seeds, strict=True)]

    def provenance(self) -> dict[str, str]:
        return {"sha256": "0" * 64}

    def _waveform(self, representation: Representation, seed: int) -> Waveform:
        clip, loudness = representation.payload
        noise = np.random.default_rng(seed).standard_normal(self._samples)
        samples = (0.1 * noise + loudness).astype(np.float32)
        if self._clips is None or clip in self._clips:
            samples = _spoiled(samples, self._fault)
        rate_hz = 8_000 if self._fault == "rate" else self.sample_rate
        return Waveform(samples, rate_hz)

    def _maybe(self, phase: str, clip: str) -> None:
        if phase == self._where and (self._clips is None or clip in self._clips):
            self._misbehave()

    def _misbehave(self) -> None:
        if self._fault == "raise":
            raise RuntimeError("out of\nidea for this clip")
        if self._fault == "missing":
            raise FileNotFoundError("weights 'toy.safetensors' are not there")
        if self._fault == "leave":
            sys.exit(3)
        if self._fault == "exit":
            os._exit(7)
        if self._fault == "words":
            sys.stderr.write("no licence for this model")
            sys.stderr.flush()
            os._exit(7)
        if self._fault == "segfault":
            ctypes.string_at(1)
        if self._fault == "fork":
            self._fork()
        if self._fault == "close":
            _close_pipes()
        if self._fault == "garbage":
            _write_garbage()
        if self._fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "hang":
            self._hang()
        if self._fault == "print":
            print("this is no JSON")
            os.write(1, b"nor is this\n")

    def _fork(self) -> None:
        """Die, with a child that holds every pipe open."""
        child = os.fork()
        if not child:
            signal.pause()
        Path(self._marker).write_text(f"{os.getpid()} {child}")
        os.kill(os.getpid(), signal.SIGKILL)

    def _hang(self) -> None:
        """For ever, with a child process that would outlive a kill of the worker alone."""
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        Path(self._marker).write_text(f"{os.getpid()} {child.pid}")
        signal.pause()


def _close_pipes() -> None:
    """Close all that is open but the three that every program has, and go on."""
    os.closerange(3, 100)
    signal.pause()


def _write_garbage() -> None:
    """Write where the replies go, whatever its number is."""
    for number in range(3, 100):
        with suppress(OSError):
            os.write(number, b"this is no reply\n")


class Whole(Toy):
    """A system that cannot tell its phases apart, and whose work is done elsewhere."""

    runs_elsewhere = True
    untimed = ("represent",)

    def usable(self) -> bool:
        return self._fault != "broken"


class Reader(Toy):
    """A system that works from the true caption."""

    reads_caption = True

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        return Representation((speech.clip_id, 0.0), speech.caption, len(speech.caption.split()))


class Partial:
    """A class that forgot one method."""

    sample_rate = 16_000

    def load(self, device: str, dtype: str) -> None: ...

    def represent(self, speech: Utterance, spans: Spans) -> Representation: ...


def _spoiled(samples: np.ndarray, fault: str) -> np.ndarray:
    if fault == "nan":
        samples[5] = np.nan
    elif fault == "empty":
        samples = samples[:0]
    elif fault == "2-d":
        samples = samples[None]
    elif fault == "int16":
        samples = (samples * 1000).astype(np.int16)
    elif fault == "list":
        samples = samples.tolist()
    return samples
