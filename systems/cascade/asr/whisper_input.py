"""What a Whisper is given: speech that fits its window, and a length for random weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from systems.cascade.asr.whisper_checkpoint import RANDOM
from systems.contract import Utterance

RATE_HZ = 16_000


def checked(speech: Utterance, window: int) -> np.ndarray:
    """The samples as a float32 array. Raises ValueError for another rate, or more than `window`."""
    if speech.rate_hz != RATE_HZ:
        raise ValueError(
            f"clip '{speech.clip_id}': speech is {speech.rate_hz} Hz, expected {RATE_HZ} Hz; "
            "resample it before"
        )
    if len(speech.samples) > window:
        raise ValueError(
            f"clip '{speech.clip_id}': speech is {len(speech.samples) / RATE_HZ:.1f} s, Whisper "
            f"hears {window / RATE_HZ:g} s at once; cut it"
        )
    return np.require(speech.samples, np.float32, ["C", "W"])


def check_tokens(tokens: int | None, weights: str | Path) -> None:
    """Raises ValueError unless `tokens` is left out, or 1 or more with random weights."""
    if tokens is not None and (weights != RANDOM or tokens < 1):
        raise ValueError(
            f"tokens is {tokens} and weights {str(weights)!r}; only random weights are forced to "
            "a length, of 1 or more: leave tokens out"
        )


def forced_length(
    speech: Utterance,
    tokens: int | None,
    encode: Callable[[str], Sequence[int]],
    longest: int,
) -> int:
    """Tokens that random weights write: `tokens`, or as many as the caption has; 1 to `longest`.

    Raises ValueError for a clip without a caption.
    """
    if tokens is None and speech.caption is None:
        raise ValueError(
            f"clip '{speech.clip_id}': random weights write as many tokens as the caption has, and "
            "the clip has none; give the data set captions, or give tokens"
        )
    wanted = len(encode(f" {speech.caption.strip()}")) if tokens is None else tokens
    return min(max(wanted, 1), longest)
