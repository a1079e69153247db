"""WAV files as they are: decoded once, with all channels, refused when broken.

Other tools replace a broken file by its neighbour or shorten it quietly; here it is an error.
"""

import hashlib
import io
import os
import stat
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from stabench.metrics.resample import resample
from stabench.metrics.wav_header import MOST_BYTES, AudioError, check_limits, read_header

# How several channels become one: the first (audioldm_eval, the papers) or their mean.
Channels = Literal["first", "mean"]


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

    Refused: missing, no file but a folder or a pipe, not WAV, empty, truncated, beyond the limits
    of wav_header.py, or holding NaN or infinity.
    """
    try:
        return decode_bytes(read_bytes(Path(path)))
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def decode_bytes(content: bytes) -> Audio:
    """Return a WAV file's content as `decode` does. Raises AudioError without a file's name."""
    header = read_header(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate_hz, channels, frames = file.samplerate, file.channels, file.frames
            # Before memory is given: that of a compressed format does not follow from its bytes.
            check_limits(rate_hz, channels, frames)
            samples = file.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        # Its `str` begins with the address of the buffer.
        reason = error.error_string.rstrip(". ")
        raise AudioError(f"cannot be decoded ({reason}); write it as PCM WAV") from error
    if (rate_hz, channels) != header[:2] or len(samples) < frames:
        raise AudioError("cannot be decoded (its header contradicts itself); write it as PCM WAV")
    if not len(samples):
        raise AudioError("holds no samples, expected at least one")
    if not np.isfinite(samples).all():
        raise AudioError("holds NaN or infinity, expected finite samples")
    return Audio(samples[:, 0] if channels == 1 else samples, rate_hz)


def measure_rate(path: Path) -> int:
    """Return a WAV file's rate in Hz; only its header is looked at. Raises AudioError."""
    try:
        return read_header(read_bytes(Path(path))).rate_hz
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def content_sha256(samples: np.ndarray) -> str:
    """Return the hex digest of the samples as little-endian float32; a file's header is no part."""
    digest = hashlib.sha256(np.ascontiguousarray(samples, "<f4").tobytes())
    if samples.ndim > 1:
        # Else two channels would pass for one of twice the length.
        digest.update(f"{samples.shape[1]} channels".encode())
    return digest.hexdigest()


# What bears a name like a file's and cannot be read as one; opening a pipe would wait for ever.
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_bytes(path: Path, count: int = MOST_BYTES) -> bytes:
    """Return the first `count` bytes of a file that has at most MOST_BYTES, and at least one.

    Raises AudioError, without the file's name, for anything else.
    """
    try:
        status = path.stat()
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind:
            raise AudioError(f"cannot be read (it is {kind}, not a file); give a WAV file")
        if status.st_size > MOST_BYTES:
            raise AudioError(
                f"has {status.st_size} bytes, allowed are {MOST_BYTES}; cut it or lower its rate"
            )
        with path.open("rb") as file:
            content = file.read(min(count, status.st_size))
    except FileNotFoundError as error:
        if path.is_symlink():
            target = os.readlink(path)
            raise AudioError(f"no such file: it is a link to '{target}'; mend it") from error
        raise AudioError("no such file; put it there or make it again") from error
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror}); put it right") from error
    if not content:
        raise AudioError("the file is empty; write it again")
    return content


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
