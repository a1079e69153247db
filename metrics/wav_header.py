"""The header of a WAV file: read and checked before a sample is decoded.

Decoders shorten a truncated file without a word, and give memory for whatever a header promises.
Here the promises are compared with what the file holds and with limits, which are stated once.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

# Allowed rates of sounds in Hz, and how long one may last.
LEAST_RATE_HZ, MOST_RATE_HZ = 1_000, 384_000
LONGEST_S = 600
MOST_CHANNELS = 64
# Samples of all channels together: 256 MiB as float32, 10 minutes of stereo at 48 kHz.
MOST_SAMPLES = 2**26
MOST_BYTES = 2**28
MOST_CHUNKS = 1_000
# From here on a size is what programs write that cannot go back to correct it.
UNKNOWN_BYTES = 0x7FFF_0000

OTHER_FORMATS = {
    b"RF64": "RF64 (WAV beyond 4 GB)",
    b"BW64": "BW64 (WAV beyond 4 GB)",
    b"RIFX": "RIFX (WAV with the high byte first)",
    b"riff": "Wave64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
}
_CHUNK_NAME = re.compile(rb"[ -~]{4}")
_FORMAT = struct.Struct("<HHIIHH")


class AudioError(ValueError):
    """A sound that cannot be read, in one line that can be printed and stored."""

    def __init__(self, message: str) -> None:
        # A path may hold bytes that are no UTF-8: they are shown as \udce9, not handed on.
        super().__init__(message.encode("utf-8", "backslashreplace").decode())


class Header(NamedTuple):
    """What a file says of its samples: `rate_hz`, `channels`, and their size in bytes."""

    rate_hz: int
    channels: int
    data_bytes: int


class _Chunk(NamedTuple):
    name: bytes
    start: int
    size: int


def read_header(content: bytes) -> Header:
    """Return the header of a RIFF WAVE file.

    Raises AudioError, without the file's name, for another format, a file that does not hold what
    its header promises, and a rate or a number of channels beyond the limits.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        kind = OTHER_FORMATS.get(content[:4])
        raise AudioError(
            f"is not a RIFF WAVE file{f' but {kind}' if kind else ''}; convert it to WAV"
        )
    layout = data = None
    for chunk in _list_chunks(content):
        if chunk.name == b"fmt ":
            layout = layout or chunk
        elif chunk.name == b"data" and data is not None:
            raise AudioError("holds two chunks of samples, expected one; write the file again")
        elif chunk.name == b"data":
            data = chunk
            _check_data(data, content)
    if data is None:
        raise AudioError("truncated before its samples; write the file again")
    if layout is None or layout.size < _FORMAT.size or layout.start > data.start:
        raise AudioError(
            "cannot be decoded (no whole chunk 'fmt ' before its samples); write it as PCM WAV"
        )
    _, channels, rate_hz, *_ = _FORMAT.unpack_from(content, layout.start)
    check_limits(rate_hz, channels)
    return Header(rate_hz, channels, data.size)


def check_limits(rate_hz: int, channels: int, frames: int = 0) -> None:
    """Raise AudioError for a sound beyond the limits: its rate, channels, length or size."""
    if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
        raise AudioError(
            f"its header says {rate_hz} Hz, allowed are {LEAST_RATE_HZ} to {MOST_RATE_HZ} Hz; "
            "write the file with its true rate"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise AudioError(
            f"its header says {channels} channels, allowed are 1 to {MOST_CHANNELS}; mix it down"
        )
    if frames > LONGEST_S * rate_hz:
        raise AudioError(
            f"lasts {frames / rate_hz:.0f} s at {rate_hz} Hz, allowed are {LONGEST_S} s; cut it, "
            "or write its true rate"
        )
    if frames * channels > MOST_SAMPLES:
        raise AudioError(
            f"has {frames * channels} samples over {channels} channels, allowed are "
            f"{MOST_SAMPLES}; mix it down or lower its rate"
        )


def _check_data(data: _Chunk, content: bytes) -> None:
    """Raise AudioError unless the file holds the samples that it promises, at least one."""
    held = len(content) - data.start
    unknown = data.size >= UNKNOWN_BYTES and data.size > held
    if not data.size:
        rest = content[data.start : data.start + 4]
        unknown = len(rest) > 1 and not _CHUNK_NAME.fullmatch(rest)
        if not unknown:
            raise AudioError("holds no samples, expected at least one")
    if unknown:
        raise AudioError(
            f"of unknown length (written to a pipe?), its header promises {data.size} bytes of "
            f"samples and {held} are there; write it to a file again"
        )
    if data.size > held:
        raise AudioError(
            f"truncated, its header promises {data.size} bytes of samples and {held} are there; "
            "write the file again"
        )


def _list_chunks(content: bytes) -> Iterator[_Chunk]:
    at = 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(content):
            return
        name, size = struct.unpack_from("<4sI", content, at)
        yield _Chunk(name, at + 8, size)
        at += 8 + size
        # RIFF pads chunks to an even length.
        if size % 2 and not _is_unpadded(content, at):
            at += 1
        elif size % 2 and name != b"data":
            shown = ascii(name.decode("latin-1"))
            raise AudioError(
                f"its chunk {shown} has {size} bytes, an odd number, and no pad byte after them; "
                "write the file again"
            )


def _is_unpadded(content: bytes, at: int) -> bool:
    """Return whether the next chunk begins at `at`, where the pad byte should be."""
    shifted = content[at + 1 : at + 5]
    known = shifted in (b"data", b"fmt ", b"fact", b"LIST")
    return not known and _CHUNK_NAME.fullmatch(content, at, at + 4) is not None
