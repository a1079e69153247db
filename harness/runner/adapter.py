"""An adapter: a system found by its registry string, checked against the contract and loaded."""

import ctypes
import json
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import MissingError, StabenchError, one_line
from stabench.harness.runs.journal import Failure
from stabench.harness.tasks.task import DEFAULT, load_task
from stabench.metrics.audio import AudioError, decode, mono
from stabench.metrics.resample import resample


class Order(NamedTuple):
    """What a worker is to load and run; `audio` is the folder of the system's output.

    `task` is what the registry knows it by; `phase` is the last one to run, or "all".
    """

    system: str
    target: str
    options: dict[str, Any]
    device: str
    dtype: str
    threads: int
    audio: str
    phase: str
    task: str = DEFAULT


class LoadFailed(Exception):
    """The system could not be loaded for a reason of its own; one line."""


class Loaded(NamedTuple):
    """A system that is ready to run, and what it says of its weights and settings."""

    system: Any
    provenance: dict[str, Any]


def load(order: Order) -> Loaded:
    """Load a system and return it with what its optional `provenance() -> dict` returns.

    Raises MissingError for a module or file that is not there, StabenchError for wrong options or
    an incomplete class, LoadFailed for whatever else its code raises.
    """
    what = f"system '{order.system}' ({order.target})"
    try:
        return _load_system(order)
    except StabenchError as error:
        raise type(error)(f"{what}: {error}") from error
    except (ImportError, FileNotFoundError) as error:
        raise MissingError(f"{what}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        # The traceback goes to the system's log; the user sees the line below.
        traceback.print_exception(error)
        raise LoadFailed(f"{what}: {one_line(error)}") from error


def _load_system(order: Order) -> Loaded:
    factory = registry.attribute(order.target)
    registry.check_options("options", factory, order.options)
    try:
        system = factory(**order.options)
    except ValueError as error:
        raise StabenchError(f"options: {' '.join(str(error).split())}") from error
    for method in ("load", *load_task(order.task).phase_names):
        if not callable(getattr(system, method, None)):
            raise StabenchError(f"it has no method '{method}'; see systems/contract.py")
    system.load(order.device, order.dtype)
    if order.phase == "all" and hasattr(system, "load_generator"):
        system.load_generator()
    # glibc keeps what loading needed on the way, unless it is told to give it back.
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if not isinstance(getattr(system, "sample_rate", None), int):
        raise StabenchError("it has no integer 'sample_rate' (Hz); see systems/contract.py")
    # Through JSON and back: what cannot be stored fails here, before the first clip.
    describe = getattr(system, "provenance", dict)
    return Loaded(system, json.loads(json.dumps(describe())))


class Refused(Exception):
    """A clip that cannot count, with the failure that its row will hold."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message)


def transcript(representation: Any, phase: str) -> tuple[str | None, int | None]:
    """Return text and token count of a Representation. Raises Refused for anything else."""
    if not hasattr(representation, "payload"):
        kind = type(representation).__name__
        raise Refused("bad-output", f"{phase} returned {kind}, expected a Representation")
    text, tokens = representation.text, representation.tokens
    if not isinstance(text, str | None):
        raise Refused("bad-output", f"text is {type(text).__name__}, expected str or None")
    return text, None if tokens is None else int(tokens)


def check_count(outputs: Any, expected: int, phase: str) -> None:
    """Raise Refused unless a phase returned a list of `expected` outputs."""
    if not isinstance(outputs, list | tuple):
        kind = type(outputs).__name__
        raise Refused("bad-output", f"{phase} returned {kind}, expected a list, one for each clip")
    if len(outputs) != expected:
        raise Refused("bad-output", f"{phase} returned {len(outputs)} outputs, expected {expected}")


def checked(waveform: Any, rate_hz: int) -> np.ndarray:
    """Return samples float32 [T] of a Waveform.

    Raises Refused unless they are 1-d, finite, not empty and at `rate_hz`.
    """
    samples, found_hz = getattr(waveform, "samples", None), getattr(waveform, "rate_hz", None)
    if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f":
        kind = getattr(samples, "dtype", type(samples).__name__)
        raise Refused("bad-output", f"samples are {kind}, expected a float32 NumPy array")
    if samples.ndim != 1:
        raise Refused("bad-output", f"samples have shape {list(samples.shape)}, expected [T]")
    if not len(samples):
        raise Refused("bad-output", "the output is empty, expected at least one sample")
    if found_hz != rate_hz:
        raise Refused(
            "bad-output",
            f"output is {found_hz} Hz, expected {rate_hz} Hz, the system's sample_rate",
        )
    samples = samples.astype(np.float32, copy=False)
    bad = len(samples) - np.count_nonzero(np.isfinite(samples))
    if bad:
        raise Refused("bad-output", f"{bad} of {len(samples)} samples are NaN or infinite")
    return samples


class SpeechError(ValueError):
    """A speech file that cannot be handed to a system; one line with its path."""


def read_speech(path: Path | None, rate_hz: int) -> np.ndarray:
    """Return samples float32 [T] at `rate_hz`, within +-1; several channels are averaged.

    Raises SpeechError for a file that is missing, empty, not WAV, truncated, without samples, not
    finite or beyond full scale. Peaks that resampling lifts over full scale are cut to it.
    """
    if path is None:
        raise SpeechError("the clip has no speech file; add one to the dataset")
    if not path.is_file():
        raise SpeechError(f"speech '{path}': no such file")
    if path.stat().st_size == 0:
        raise SpeechError(f"speech '{path}': the file is empty (0 bytes)")
    try:
        channels, from_hz = decode(path)
        samples = mono(channels, "mean")
        peak = float(np.abs(samples).max())
        if peak > 1:
            raise SpeechError(
                f"{path}: its peak is {peak:.4g}, allowed is 1 (full scale); scale it"
            )
        return np.clip(resample(samples, from_hz, rate_hz), -1, 1)
    except (AudioError, ValueError) as error:
        raise SpeechError(f"speech {error}") from error
