"""Speech as systems hear it: a WAV file, mono, float32, finite, at the system's rate."""

from pathlib import Path

import numpy as np

from metrics.audio import AudioError, decode, mono
from metrics.resample import resample


class SpeechError(ValueError):
    """A speech file that cannot be handed to a system; one line with its path."""


def read_speech(path: Path | None, rate_hz: int) -> np.ndarray:
    """Samples float32 [T] at `rate_hz`, within +-1; several channels are averaged.

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
        _check_scale(path, samples)
        return np.clip(resample(samples, from_hz, rate_hz), -1, 1)
    except (AudioError, ValueError) as error:
        raise SpeechError(f"speech {error}") from error


def _check_scale(path: Path, samples: np.ndarray) -> None:
    peak = float(np.abs(samples).max())
    if peak > 1:
        raise SpeechError(f"{path}: its peak is {peak:.4g}, allowed is 1 (full scale); scale it")
