"""What a system returned, checked: a wrong output fails its clip and is never repaired."""

from typing import Any

import numpy as np

from harness.journal import Failure


class Refused(Exception):
    """A clip that cannot count, with the failure that its row will hold."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, message)


def transcript(representation: Any) -> tuple[str | None, int | None]:
    """Text and token count of a Representation. Raises Refused for anything else."""
    if not hasattr(representation, "payload"):
        kind = type(representation).__name__
        raise Refused("bad-output", f"represent returned {kind}, expected a Representation")
    text, tokens = representation.text, representation.tokens
    if not isinstance(text, str | None):
        raise Refused("bad-output", f"text is {type(text).__name__}, expected str or None")
    return text, None if tokens is None else int(tokens)


def check_count(waveforms: Any, expected: int) -> None:
    """Raises Refused unless `generate` returned a list of `expected` outputs."""
    if not isinstance(waveforms, list | tuple):
        kind = type(waveforms).__name__
        raise Refused("bad-output", f"generate returned {kind}, expected a list of Waveform")
    if len(waveforms) != expected:
        raise Refused(
            "bad-output", f"generate returned {len(waveforms)} outputs, expected {expected}"
        )


def checked(waveform: Any, rate_hz: int) -> np.ndarray:
    """Samples float32 [T] of a Waveform; Refused unless 1-d, finite, not empty, at `rate_hz`."""
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
