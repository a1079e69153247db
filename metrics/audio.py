"""WAV files as they are: decoded once, with all channels, refused when broken.

Other tools replace a broken file by its neighbour or shorten it quietly; here it is an error.
"""

import hashlib
import io
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from stabench.metrics.resample import resample

# How several channels become one: the first (audioldm_eval, the papers) or their mean.
Channels = Literal["first", "mean"]


class AudioError(ValueError):
    """A file that cannot be scored, in one line with its path."""


class Audio(NamedTuple):
    """Float32 `samples`, [T] or [T, channels], and their rate."""

    samples: np.ndarray
    rate_hz: int


def load(
    path: Path, rate_hz: int, *, channels: Channels = "first", remove_dc: bool = True
) -> np.ndarray:
    """Return the file's samples float32 [T] at `rate_hz`; the mean is removed before resampling.

    Defaults are audioldm_eval's. Raises AudioError.
    """
    samples, from_hz = decode(path)
    mixed = mono(samples, channels)
    return resample(without_dc(mixed) if remove_dc else mixed, from_hz, rate_hz)


def mono(samples: np.ndarray, channels: Channels) -> np.ndarray:
    """Return samples [T] or [T, channels] as one channel [T]."""
    if channels not in ("first", "mean"):
        raise ValueError(f"channel rule is '{channels}', expected 'first' or 'mean'")
    if samples.ndim == 1:
        return samples
    mixed = samples[:, 0] if channels == "first" else samples.mean(axis=1)
    return np.ascontiguousarray(mixed)


def without_dc(samples: np.ndarray) -> np.ndarray:
    """Return samples [T] minus their mean."""
    # Summed in float64: over a long clip float32 loses digits of the mean.
    return samples - samples.mean(dtype=np.float64).astype(np.float32)


def int16_round_trip(samples: np.ndarray) -> np.ndarray:
    """Cut samples to -1 to 1 and to 16-bit steps towards zero, as laion_clap's loader does."""
    steps = (np.clip(samples, -1, 1) * np.float32(32767)).astype(np.int16)
    return (steps / 32767.0).astype(np.float32)


def decode(path: Path) -> Audio:
    """Return the file as it is: samples [T], or [T, channels] of several. Raises AudioError.

    Refused: missing, not WAV, empty, truncated, or holding NaN or infinity.
    """
    content = _content(Path(path))
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be decoded ({error}); write it as PCM WAV") from error
    if not len(samples):
        raise AudioError(f"{path}: holds no samples, expected at least one; score it as failed")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinity, expected finite samples")
    return Audio(samples[:, 0] if samples.shape[1] == 1 else samples, rate_hz)


def content_sha256(samples: np.ndarray) -> str:
    """Return the hex digest of the samples as little-endian float32; a file's header is no part."""
    digest = hashlib.sha256(np.ascontiguousarray(samples, "<f4").tobytes())
    if samples.ndim > 1:
        # Else two channels would pass for one of twice the length.
        digest.update(f"{samples.shape[1]} channels".encode())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file; run the system for this clip again") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise AudioError(f"{path}: the file is empty; run the system for this clip again")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise AudioError(f"{path}: is not a RIFF WAVE file; convert it to WAV")
    _check_length(path, content)
    return content


def _check_length(path: Path, content: bytes) -> None:
    """Walk the chunks to `data`: decoders shorten a truncated file without a word."""
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"data":
            if at + 8 + size > len(content):
                raise AudioError(
                    f"{path}: truncated, its header promises {size} bytes of samples and "
                    f"{len(content) - at - 8} are there; write the file again"
                )
            return
        # RIFF pads chunks to an even length.
        at += 8 + size + size % 2
    raise AudioError(f"{path}: truncated before its samples; write the file again")


IEEE_FLOAT = 3
# RIFF, then the chunks fmt (18 bytes), fact (samples) and data (4 bytes a sample).
HEADER = struct.Struct("<4sI4s 4sIHHIIHHH 4sII 4sI")


def encode(samples: np.ndarray, rate_hz: int) -> bytes:
    """Return `samples` float32 [T], mono, unclipped, as a RIFF WAVE file."""
    data = np.ascontiguousarray(samples, "<f4").data.cast("B")
    # A format other than PCM has 18 bytes: the last two are the length of an extension, here 0.
    header = HEADER.pack(
        *(b"RIFF", HEADER.size - 8 + len(data), b"WAVE"),
        *(b"fmt ", 18, IEEE_FLOAT, 1, rate_hz, rate_hz * 4, 4, 32, 0),
        *(b"fact", 4, len(samples)),
        *(b"data", len(data)),
    )
    return b"".join((header, data))
