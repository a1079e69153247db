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
from stabench.metrics.audio import decode, mono
from stabench.metrics.resample import resample
from stabench.metrics.wav_header import LEAST_RATE_HZ, MOST_RATE_HZ, AudioError, check_limits


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
    system = make_system(order)
    if missing := missing_methods(system, order.task):
        raise StabenchError(missing[0])
    load_weights(system, order)
    check_rates(system)
    return Loaded(system, describe(system))


def make_system(order: Order) -> Any:
    """Return what the class or function of the order makes of its options; nothing is loaded.

    Raises StabenchError for wrong options and for a target that cannot be called.
    """
    factory = registry.attribute(order.target)
    if not callable(factory):
        raise StabenchError(f"it is {describe_value(factory)}; name a class or a function")
    registry.check_options("options", factory, order.options)
    try:
        return factory(**order.options)
    except ValueError as error:
        raise StabenchError(f"options: {' '.join(str(error).split())}") from error


def missing_methods(system: Any, task: str) -> list[str]:
    """Return a line for each method that the contract asks for and the system lacks."""
    names = ("load", *load_task(task).phase_names)
    return [
        f"it has no method '{name}'; see systems/contract.py"
        for name in names
        if not callable(getattr(system, name, None))
    ]


def load_weights(system: Any, order: Order) -> None:
    """Let a system read its weights, those of its generator too where that is asked for."""
    system.load(order.device, order.dtype)
    if order.phase == "all" and hasattr(system, "load_generator"):
        system.load_generator()
    # glibc keeps what loading needed on the way, unless it is told to give it back.
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def check_rates(system: Any) -> None:
    """Raise StabenchError unless the rates of speech and sound are whole numbers of Hz, as files
    may have them.
    """
    for name in ("sample_rate", "speech_rate_hz"):
        if name == "speech_rate_hz" and not hasattr(system, name):
            continue
        rate_hz = getattr(system, name, None)
        if type(rate_hz) is not int or rate_hz <= 0:
            has = f"'{name}' is {rate_hz!r}" if hasattr(system, name) else f"it has no '{name}'"
            raise StabenchError(f"{has}; give a whole number of Hz, see systems/contract.py")
        if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
            raise StabenchError(
                f"'{name}' is {rate_hz} Hz, allowed are {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz"
            )


def describe(system: Any) -> dict[str, Any]:
    """Return what a system's optional `provenance() -> dict` says, as JSON holds it.

    What cannot be stored raises here, before the first clip.
    """
    told: Any = getattr(system, "provenance", dict)()
    if not isinstance(told, dict):
        raise StabenchError(f"provenance returned {describe_value(told)}, expected a dict")
    try:
        value: dict[str, Any] = json.loads(json.dumps(told))
    except (TypeError, ValueError) as error:
        raise StabenchError(f"provenance returned what is no JSON: {error}") from None
    return value


class Refused(Exception):
    """A clip that cannot count, with the failure that its row will hold."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message)


REPRESENTATION = "Representation(payload, text)"
WAVEFORM = "Waveform(samples, rate_hz)"


def describe_value(value: Any) -> str:
    """Return what a system handed over, in a few words: type, of an array its dtype and shape.

    >>> describe_value([np.zeros((1, 5), np.float32)])
    'a list of 1 numpy.ndarray float32 [1, 5]'
    >>> describe_value((np.zeros(5), 16_000)), describe_value(None)
    ('a tuple (numpy.ndarray float64 [5], int)', 'None')
    """
    if value is None:
        return "None"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return (
            f"a tuple ({', '.join(map(describe_value, value[:4]))})" if value else "an empty tuple"
        )
    if isinstance(value, list):
        return f"a list of {len(value)} {describe_value(value[0])}" if value else "an empty list"
    kind = type(value)
    # By its name: most systems know torch, the harness does not load it for a message.
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{name} {dtype} {list(value.shape)}"
    return kind.__name__ if hasattr(value, "_fields") else name


def transcript(representation: Any, phase: str) -> tuple[str | None, int | None]:
    """Return text and token count of a Representation. Raises Refused for anything else."""
    if not hasattr(representation, "payload"):
        raise Refused(
            "bad-output",
            f"{phase} returned {describe_value(representation)}, expected a Representation; return "
            f"{REPRESENTATION}",
        )
    text = getattr(representation, "text", None)
    tokens = getattr(representation, "tokens", None)
    if not isinstance(text, str | None):
        raise Refused("bad-output", f"text is {describe_value(text)}, expected str or None")
    # Whatever counts as a whole number: NumPy's and a tensor's too.
    if tokens is not None and (isinstance(tokens, str) or not hasattr(tokens, "__int__")):
        raise Refused("bad-output", f"tokens is {describe_value(tokens)}, expected int or None")
    return text, None if tokens is None else int(tokens)


def check_count(outputs: Any, expected: int, phase: str, what: str = WAVEFORM) -> None:
    """Raise Refused unless a phase returned a list of `expected` outputs; `what` is one of them."""
    wanted = f"expected a list of {'one' if expected == 1 else expected} {what}"
    hint = f"return [{what}]" if expected == 1 else "return one for each clip"
    # A bare Waveform or Representation is a tuple too, and would be taken for a list of its parts.
    if not isinstance(outputs, list | tuple) or hasattr(outputs, "_fields"):
        given = describe_value(outputs)
    elif len(outputs) != expected:
        given = f"{len(outputs)} outputs ({describe_value(outputs)})"
    else:
        return
    raise Refused("bad-output", f"{phase} returned {given}, {wanted}; {hint}")


def checked(waveform: Any, rate_hz: int) -> np.ndarray:
    """Return samples float32 [T] of a Waveform.

    Raises Refused unless they are 1-d, finite, not empty, at `rate_hz` and no longer than files may
    be.
    """
    if not (hasattr(waveform, "samples") and hasattr(waveform, "rate_hz")):
        raise Refused(
            "bad-output",
            f"the output is {describe_value(waveform)}, expected a Waveform; return {WAVEFORM}",
        )
    samples, found_hz = waveform.samples, waveform.rate_hz
    if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f":
        hint = ""
        if hasattr(samples, "detach"):
            hint = "; give samples.float().cpu().numpy()"
        elif isinstance(samples, np.ndarray) and samples.dtype.kind == "i":
            hint = (
                f"; give them as float32 within -1 and 1, of {samples.dtype} divided by its range"
            )
        raise Refused(
            "bad-output",
            f"samples are {describe_value(samples)}, expected numpy.ndarray float32 [T]{hint}",
        )
    if samples.ndim != 1:
        hint = ""
        if samples.ndim == 2 and 1 in samples.shape:
            hint = f"; give samples{'[0]' if samples.shape[0] == 1 else '[:, 0]'}"
        raise Refused(
            "bad-output",
            f"samples have shape {list(samples.shape)}, expected [T], one channel{hint}",
        )
    if not len(samples):
        raise Refused("bad-output", "the output is empty, expected at least one sample")
    if found_hz != rate_hz:
        raise Refused(
            "bad-output",
            f"output is {found_hz} Hz, expected {rate_hz} Hz, the system's sample_rate",
        )
    try:
        check_limits(rate_hz, 1, len(samples))
    except AudioError as error:
        raise Refused("bad-output", f"the output {error}") from None
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
