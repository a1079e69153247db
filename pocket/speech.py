"""Speaking a caption with espeak-ng: a voice, a rate, a pitch, a little room and a noise floor."""

import ctypes
import threading
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from stabench.pocket.sounds import signal as sg

RATE_HZ = 16_000

# Recognisers fail on digitally clean speech; a floor of about -60 dBFS is what a quiet room has.
NOISE_FLOOR_DBFS = (-62.0, -50.0)

_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-029", "en-us-nyc")
_VARIANTS = ("m1", "m2", "m3", "m5", "m7", "f1", "f4", "Alex", "Andy", "linda", "steph")
TRAIN_VOICES = tuple(f"{accent}+{variant}" for accent in _ACCENTS for variant in _VARIANTS)
DEVELOPMENT_VOICES = (
    "en-us+michel", "en-us+anika", "en+victor", "en+grandma", "en-gb-x-gbcwmd+m4", "en-029+aunty",
)  # fmt: skip
# Four of its variants (f2, f3, f5, Alicia) read memory they never set: no two runs are equal.
TEST_VOICES = (
    "en-us+m4", "en-us+max", "en-us+Annie", "en+m6", "en+belinda", "en+Andrea",
    "en-gb-scotland+m4", "en-gb-x-gbclan+m8",
)  # fmt: skip

# Constants of espeak-ng's speak_lib.h: how it plays, what it reports, and kinds of events.
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_END, _WORD, _PHONEME = 0, 1, 7


class Voice(NamedTuple):
    """`name` as espeak-ng writes it, `rate` in words a minute, `pitch` 0 to 99 (50 is usual)."""

    name: str
    rate: int
    pitch: int


class Mark(NamedTuple):
    """Where a sound begins: `kind` "word" (value: 1, 2, ...) or "phoneme" (value: its name)."""

    time_s: float
    kind: str
    value: int | str


class Spoken(NamedTuple):
    """`samples` float64 [T] within +-1 at `rate_hz`, with the marks of its words and phonemes."""

    samples: np.ndarray
    rate_hz: int
    marks: tuple[Mark, ...]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Espeak:
    """The shared library. Its state is global: one instance a process, one call at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        path = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS)
        if self.rate_hz <= 0:
            raise RuntimeError("espeak-ng did not start; reinstall the espeakng-loader package")
        self._chunks: list[np.ndarray] = []
        self._marks: list[Mark] = []
        # Kept on the object: the library holds only its address, and Python would free it.
        self._callback = _CALLBACK(self._receive)
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lock = threading.Lock()

    def _receive(
        self,
        wav: "ctypes._Pointer[ctypes.c_short]",
        count: int,
        events: "ctypes._Pointer[_Event]",
    ) -> int:
        if wav and count > 0:
            # Copied: the library speaks the next chunk into the same buffer.
            self._chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        index = 0
        while events[index].type != _END:
            event = events[index]
            if event.type == _WORD:
                self._marks.append(Mark(event.audio_position / 1000, "word", event.id.number))
            elif event.type == _PHONEME:
                name = event.id.string.decode("utf-8", "replace")
                self._marks.append(Mark(event.audio_position / 1000, "phoneme", name))
            index += 1
        return 0

    def say(self, text: str, voice: Voice) -> Spoken:
        with self._lock:
            self._chunks, self._marks = [], []
            if self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
                raise ValueError(f"unknown voice {voice.name!r}; see TRAIN_VOICES in {__name__}")
            # espeakRATE and espeakPITCH; the last 0 says that values are not relative.
            self._lib.espeak_SetParameter(1, voice.rate, 0)
            self._lib.espeak_SetParameter(3, voice.pitch, 0)
            data = text.encode()
            # From the start (position 0, counted in characters) to the end (0), as UTF-8.
            self._lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
            self._lib.espeak_Synchronize()
            samples = np.concatenate(self._chunks).astype(np.float64) / 32768
            return Spoken(samples, self.rate_hz, tuple(self._marks))


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def start() -> None:
    """Load espeak-ng now, so that forks of this process need not."""
    _espeak()


def say(text: str, voice: Voice) -> Spoken:
    """Speak by espeak-ng, at its own 22,050 Hz. Raises ValueError for an unknown voice."""
    return _espeak().say(text, voice)


def draw_voice(names: tuple[str, ...], rng: np.random.Generator) -> Voice:
    name = names[int(rng.integers(len(names)))]
    return Voice(name, int(rng.integers(140, 191)), int(rng.integers(35, 66)))


def record(spoken: Spoken, rng: np.random.Generator) -> np.ndarray:
    """Record the utterance in a room by a microphone: float64 [T] at 16 kHz, peak about 0.5."""
    # In double precision: a float32 matrix product would differ between processors.
    # 22,050 Hz times 320 / 441 is 16 kHz.
    dry = resample_poly(spoken.samples, 320, 441)
    wet = np.concatenate([np.zeros(sg.samples(0.1)), dry, np.zeros(sg.samples(0.15))])
    out = wet.copy()
    for _ in range(rng.integers(1, 4)):
        echo = sg.lowpass(wet, rng.uniform(2000, 5000))
        sg.place(out, sg.samples(rng.uniform(0.004, 0.03)), echo, rng.uniform(0.03, 0.15))
    out *= rng.uniform(0.25, 0.6) / max(1e-9, float(np.abs(out).max()))
    floor = 10 ** (rng.uniform(*NOISE_FLOOR_DBFS) / 20)
    return out + floor * rng.standard_normal(len(out))
