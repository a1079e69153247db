"""A system that another program is: its answers, checked, and the WAV that goes to and fro.

`systems/command.py` talks to such a program over pipes, `systems/http.py` over HTTP.

The clock runs while samples become WAV and back: the contract hands samples in and asks for
samples, and whoever deploys the program pays for it too. Both are stages of their own,
`write_speech` and `read_sound`, so that a reader can subtract them; the rest is the program's.
"""

import re
import struct
import sys
import time
from collections.abc import Callable
from math import isfinite
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from stabench.metrics.audio import decode_bytes, mono
from stabench.metrics.wav_header import OTHER_FORMATS, AudioError
from stabench.systems.contract import AddsStages, Spans, Waveform

# Characters that are shown of what a program wrote.
LONGEST = 120
STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,59}")
WRITE, READ = "write_speech", "read_sound"
# RIFF, then the chunks fmt (16 bytes) and data: the 44 bytes that every reader of WAV knows.
HEADER = struct.Struct("<4sI4s 4sIHHIIHH 4sI")
T = TypeVar("T")


class RemoteError(RuntimeError):
    """The program did not answer as it should; one line that says what it did instead."""


class NotThere(FileNotFoundError):
    """What the system is made of is not there: a program, a server, a variable."""


class Stage(NamedTuple):
    """A part of an answer's time, as the program measured it."""

    name: str
    wall_ns: int


def check_keys(answer: object, allowed: tuple[str, ...], written: str) -> dict[str, Any]:
    """Return an answer if it is a JSON object with no other keys than `allowed`.

    Raises RemoteError, also for an answer {"error": "..."}.
    """
    if not isinstance(answer, dict):
        raise RemoteError(f"wrote {quote(written)}, expected a JSON object on one line")
    if "error" in answer:
        raise RemoteError(f"answered with an error: {quote(str(answer['error']))}")
    for name in answer:
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise RemoteError(f"answered with the key {quote(name)}; allowed are {known} and error")
    return answer


def read_provenance(answer: dict[str, Any], who: str) -> dict[str, Any]:
    """Return `provenance` of an answer, empty without any. Raises RemoteError for no object."""
    stated = answer.get("provenance", {})
    if not isinstance(stated, dict):
        raise RemoteError(f"{who} stated provenance {quote(repr(stated))}, not an object")
    return stated


def read_text(answer: dict[str, Any]) -> tuple[str | None, int | None]:
    """Return `text` and `tokens` of an answer. Raises RemoteError for other types."""
    text, tokens = answer.get("text"), answer.get("tokens")
    if not isinstance(text, str | None):
        raise RemoteError(f"answered with the text {quote(repr(text))}, expected a string")
    if not (tokens is None or (type(tokens) is int and tokens >= 0)):
        raise RemoteError(f"answered with tokens {quote(repr(tokens))}, expected a count")
    return text, tokens


def read_stages(stages: object) -> list[Stage]:
    """Return [[name, seconds], ...] of an answer. Raises RemoteError for anything else."""
    if not isinstance(stages, list):
        raise RemoteError(f"answered with stages {quote(repr(stages))}, expected a list")
    return [_read_stage(stage) for stage in stages]


def _read_stage(stage: object) -> Stage:
    if isinstance(stage, list) and len(stage) == 2:
        name, wall_s = stage
        named = isinstance(name, str) and STAGE.fullmatch(name) and name not in (WRITE, READ)
        timed = type(wall_s) in (int, float) and isfinite(wall_s) and wall_s >= 0
        if named and timed:
            return Stage(name, round(wall_s * 1e9))
    raise RemoteError(f"answered with the stage {quote(repr(stage))}, expected [name, seconds]")


def ask(spans: Spans, name: str, exchange: Callable[[], tuple[T, list[Stage]]]) -> T:
    """Return the answer of an exchange, and mark its time: by the stages that come with it.

    Without stages, or where they do not fit into the time that the exchange took (those that run
    side by side do not), it is one stage `name`; the log says why.
    """
    start_ns = time.perf_counter_ns()
    answer, stages = exchange()
    wall_ns = time.perf_counter_ns() - start_ns
    claimed_ns = sum(stage.wall_ns for stage in stages)
    if claimed_ns > wall_ns:
        print(
            f"stages of {claimed_ns / 1e6:.3f} ms in an answer of {wall_ns / 1e6:.3f} ms are not "
            "shown; name stages that follow one another",
            file=sys.stderr,
        )
        stages = []
    if isinstance(spans, AddsStages):
        for stage in stages or [Stage(name, wall_ns)]:
            spans.add(*stage)
    return answer


def quote(text: str) -> str:
    """Return at most LONGEST characters of a text in quotes, in one line, control codes escaped."""
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")


def encode_speech(samples: np.ndarray, rate_hz: int) -> bytes:
    """Return samples [T] within +-1 as mono WAV of 16-bit PCM.

    Speech that was read from 16 bits at the same rate becomes those bits again.
    """
    steps = np.clip(np.round(samples * 32_768.0), -32_768, 32_767).astype("<i2")
    data = steps.tobytes()
    head = HEADER.pack(
        *(b"RIFF", HEADER.size - 8 + len(data), b"WAVE"),
        *(b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16),
        *(b"data", len(data)),
    )
    return head + data


def decode_sound(content: bytes, where: str) -> Waveform:
    """Return a WAV as samples float32 [T], channels averaged; `where` begins the line of an error.

    Raises RemoteError for what is no WAV, broken, truncated, empty or beyond the limits of sounds.
    """
    if not content:
        raise RemoteError(f"{where} is empty, expected a WAV file")
    if content[:4] not in (b"RIFF", *OTHER_FORMATS):
        start = quote(content[:16].decode(errors="replace"))
        raise RemoteError(f"{where} begins with {start}, expected a RIFF WAVE file")
    try:
        sound = decode_bytes(content)
    except AudioError as error:
        raise RemoteError(f"{where}: {error}") from error
    return Waveform(mono(sound.samples, "mean"), sound.rate_hz)


class Remote:
    """What the systems of both files declare; `at_once` leaves `represent` untimed."""

    runs_elsewhere: ClassVar[bool] = True

    def __init__(
        self, sample_rate: int, speech_rate_hz: int, reads_caption: bool, at_once: bool
    ) -> None:
        self.sample_rate = sample_rate
        self.speech_rate_hz = speech_rate_hz
        self.reads_caption = reads_caption
        self.untimed = ("represent",) if at_once else ()
