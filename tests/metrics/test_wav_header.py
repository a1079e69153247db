"""Headers of WAV files: every promise that a file cannot keep, said in one line and in time."""

import io
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stabench.metrics.audio import Audio, decode, decode_bytes, measure_rate
from stabench.metrics.wav_header import (
    LONGEST_S,
    MOST_BYTES,
    MOST_CHANNELS,
    MOST_RATE_HZ,
    AudioError,
    check_limits,
)
from tests.limits import Limits

RATE_HZ = 16_000
SAMPLES = np.arange(-400, 400, dtype="<i2")


def chunk(name: bytes, data: bytes, size: int | None = None, pad: bool = True) -> bytes:
    """One chunk of RIFF; `size` is what its header says, where that is not the truth."""
    padding = b"\0" if pad and len(data) % 2 else b""
    return name + struct.pack("<I", len(data) if size is None else size) + data + padding


def layout(
    tag: int = 1,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    bits: int = 16,
    align: int | None = None,
) -> bytes:
    """The chunk 'fmt '."""
    block = channels * bits // 8 % 65_536 if align is None else align
    data = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block % 2**32, block, bits)
    return chunk(b"fmt ", data)


def riff(*chunks: bytes, magic: bytes = b"RIFF") -> bytes:
    """A file of these chunks."""
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) % 2**32) + body


DATA = chunk(b"data", SAMPLES.tobytes())
LIST = chunk(b"LIST", b"INFOISFT\x04\0\0\0Lavf")
ODD = b"INFOISFT\x03\0\0\0Lav"

REFUSED = {
    "1 Hz": (riff(layout(rate_hz=1), DATA), "says 1 Hz, allowed are 1000 to 384000 Hz"),
    "16 Hz": (riff(layout(rate_hz=16), DATA), "says 16 Hz"),
    "999 Hz": (riff(layout(rate_hz=999), DATA), "says 999 Hz"),
    "0 Hz": (riff(layout(rate_hz=0), DATA), "says 0 Hz"),
    "384001 Hz": (riff(layout(rate_hz=384_001), DATA), "says 384001 Hz"),
    "absurd rate": (riff(layout(rate_hz=2**32 - 1), DATA), "says 4294967295 Hz"),
    "no channel": (riff(layout(channels=0), DATA), "says 0 channels, allowed are 1 to 64"),
    "65 channels": (riff(layout(channels=65), DATA), "says 65 channels"),
    "65535 channels": (riff(layout(channels=65_535), DATA), "says 65535 channels"),
    "two data": (riff(layout(), DATA, DATA), "holds two chunks of samples, expected one"),
    "two data, text between": (riff(layout(), DATA, LIST, DATA), "two chunks of samples"),
    "pipe, ffmpeg": (
        riff(layout(), LIST, chunk(b"data", SAMPLES.tobytes(), 0xFFFF_FFFF)),
        "of unknown length (written to a pipe?), its header promises 4294967295 bytes",
    ),
    "pipe, sox": (
        riff(layout(), chunk(b"data", SAMPLES.tobytes(), 0x7FFF_F000)),
        "unknown length (written to a pipe?)",
    ),
    "pipe, arecord": (
        riff(layout(), chunk(b"data", SAMPLES.tobytes(), 0x8000_0000)),
        "write it to a file again",
    ),
    "pipe, zero": (
        riff(layout(), chunk(b"data", SAMPLES.tobytes(), 0)),
        "promises 0 bytes of samples and 1600 are there",
    ),
    "pipe, header alone": (riff(layout(), chunk(b"data", b"", 0xFFFF_FFFF)), "unknown length"),
    "no samples": (riff(layout(), chunk(b"data", b"")), "holds no samples, expected at least one"),
    "no samples, but a text": (riff(layout(), chunk(b"data", b""), LIST), "holds no samples"),
    "unpadded": (
        riff(layout(), chunk(b"LIST", ODD, pad=False), DATA),
        "its chunk 'LIST' has 15 bytes, an odd number, and no pad byte after them",
    ),
    "unpadded, unknown": (
        riff(layout(), chunk(b"xyz ", b"abc", pad=False), chunk(b"bext", b"12"), DATA),
        "its chunk 'xyz ' has 3 bytes",
    ),
    "RF64": (riff(layout(), DATA, magic=b"RF64"), "not a RIFF WAVE file but RF64 (WAV beyond"),
    "BW64": (riff(layout(), DATA, magic=b"BW64"), "not a RIFF WAVE file but BW64"),
    "big-endian": (riff(layout(), DATA, magic=b"RIFX"), "but RIFX (WAV with the high byte first)"),
    "flac": (b"fLaC" + bytes(100), "but FLAC; convert it"),
    "truncated": (riff(layout(), DATA)[:-6], "promises 1600 bytes of samples and 1594 are there"),
    "cut in its header": (riff(layout(), DATA)[:20], "truncated before its samples"),
    "a chunk beyond the end": (riff(layout(), chunk(b"LIST", b"ab", 10**9), DATA), "truncated"),
    "no layout": (riff(DATA), "no whole chunk 'fmt ' before its samples"),
    "layout after the samples": (riff(DATA, layout()), "no whole chunk 'fmt '"),
    "layout cut": (riff(chunk(b"fmt ", b"\1\0\1\0"), DATA), "no whole chunk 'fmt '"),
    "unknown format": (riff(layout(tag=0x7777), DATA), "cannot be decoded ("),
    "no bits": (riff(layout(bits=0), DATA), "cannot be decoded ("),
    "chunks without end": (riff(*[chunk(b"JUNK", b"")] * 5_000, layout(), DATA), "truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_heard_says_why_in_the_same_bytes_each_time(
    tmp_path: Path, name: str
) -> None:
    content, reason = REFUSED[name]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    lines = []
    for _ in range(2):
        with pytest.raises(AudioError) as caught:
            decode(path)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert reason in lines[0]
    assert lines[0].startswith(f"{path}: ")
    assert " object at 0x" not in lines[0]
    assert "\n" not in lines[0]


WHOLE = {
    "plain": riff(layout(), DATA),
    "text before": riff(layout(), LIST, DATA),
    "odd text with its pad byte": riff(layout(), chunk(b"LIST", ODD), DATA),
    "text after": riff(layout(), DATA, LIST),
    "odd text at the end, unpadded": riff(layout(), DATA, chunk(b"LIST", ODD, pad=False)),
    "text before the layout": riff(LIST, layout(), DATA),
    "bytes after the end": riff(layout(), DATA) + b"TAG no chunk",
    "wrong size of the whole": b"RIFF\xff\xff\xff\xff" + riff(layout(), DATA)[8:],
    "a chunk named data in a text": riff(layout(), chunk(b"iXML", b"<a>data\0\0\0\0"), DATA),
    "slowest": riff(layout(rate_hz=1_000), DATA),
    "fastest": riff(layout(rate_hz=384_000), DATA),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_read_to_the_last_sample(name: str) -> None:
    assert (decode_bytes(WHOLE[name]).samples == SAMPLES / np.float32(32_768)).all()


def test_many_channels_within_the_limit() -> None:
    heard = decode_bytes(riff(layout(channels=8), DATA))
    assert heard.samples.shape == (100, 8)


def _write(samples: np.ndarray, rate_hz: int, subtype: str, kind: str) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate_hz, subtype=subtype, format=kind)
    return target.getvalue()


# Of the formats that a WAV may hold; MPEG needs rates and lengths of its own.
SUBTYPES = sorted(set(soundfile.available_subtypes("WAV")) - {"MPEG_LAYER_III", "G721_32"})


MONO = {"GSM610", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}


@pytest.mark.parametrize(
    ("subtype", "channels"), [(name, n) for name in SUBTYPES for n in (1, 2)[: 2 - (name in MONO)]]
)
def test_every_spelling_of_a_sound_is_the_same_sound(subtype: str, channels: int) -> None:
    """As libsndfile reads it, in whatever format its encoder knows."""
    tone = 0.5 * np.sin(np.arange(8_000)[:, None] * np.linspace(0.05, 0.06, channels))
    content = _write(tone, 8_000, subtype, "WAV")
    heard = decode_bytes(content)
    samples = heard.samples.reshape(len(heard.samples), -1)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        np.testing.assert_array_equal(samples, file.read(file.frames, "float32", always_2d=True))
    assert np.corrcoef(samples[:8_000, 0], tone[:, 0])[0, 1] > 0.9


def test_limits_are_of_length_and_of_size_in_memory() -> None:
    check_limits(48_000, 2, LONGEST_S * 48_000)
    with pytest.raises(AudioError, match="lasts 601 s at 1000 Hz, allowed are 600 s"):
        check_limits(1_000, 1, 601_000)
    with pytest.raises(AudioError, match="samples over 64 channels, allowed are 67108864"):
        check_limits(MOST_RATE_HZ, MOST_CHANNELS, 2**21)


def test_a_long_file_is_refused_before_memory_is_given(tmp_path: Path) -> None:
    """Sparse: its bytes are promised by the file system alone."""
    path = tmp_path / "long.wav"
    size = 100 * 2**20
    path.write_bytes(riff(layout(rate_hz=1_000), chunk(b"data", b"", size)))
    os.truncate(path, path.stat().st_size + size)
    with pytest.raises(AudioError, match="lasts 52429 s at 1000 Hz, allowed are 600 s"):
        decode(path)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(AudioError, match=f"has {MOST_BYTES + 1} bytes, allowed are {MOST_BYTES}"):
        decode(path)


def test_what_is_no_file_is_named_and_nobody_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "broken.wav").symlink_to("gone.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(tmp_path / "socket.wav"))
    listener.close()
    for name, reason in {
        "pipe": "it is a pipe, not a file",
        "folder": "it is a folder, not a file",
        "device": "it is a device, not a file",
        "socket": "it is a socket, not a file",
        "broken": "no such file: it is a link to 'gone.wav'",
        "loop": "cannot be read",
        "none": "no such file",
    }.items():
        for read in (decode, measure_rate):
            with pytest.raises(AudioError, match=reason):
                read(tmp_path / f"{name}.wav")


def test_a_name_that_is_not_utf_8_is_shown_in_ascii(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    with pytest.raises(AudioError, match=r"caf\\udce9\.wav: no such file") as caught:
        decode(path)
    str(caught.value).encode()


# Values of a field of 16 or 32 bits that programs write, and every other.
SIZES = st.sampled_from([0, 1, 2, 16, 0x7FFF_F000, 0x7FFF_FFFF, 2**32 - 1]) | st.integers(
    0, 2**32 - 1
)
SHORTS = st.sampled_from([0, 1, 2, 3, 8, 16, 24, 32, 64, 0xFFFE, 0xFFFF]) | st.integers(
    0, 2**16 - 1
)
TAGS = st.sampled_from([1, 2, 3, 6, 7, 0x11, 0x31, 0x40, 0x45, 0x55, 0xFFFE]) | SHORTS
NAMES = st.sampled_from([b"LIST", b"fact", b"data", b"fmt ", b"PEAK", b"cue ", b"\0\0\0\0"])


@st.composite
def _files(draw: st.DrawFn) -> bytes:
    """Files whose header is whole in most of its fields, so that the others are reached."""
    data = draw(st.binary(max_size=400))
    rate_hz = draw(st.sampled_from([8_000, 16_000, 48_000]) | SIZES)
    fields = (draw(TAGS), draw(SHORTS), rate_hz, draw(SIZES), draw(SHORTS), draw(SHORTS))
    head = struct.pack("<HHIIHH", *fields) + draw(st.binary(max_size=30))
    if draw(st.booleans()):
        head = layout(channels=draw(st.integers(1, 3)), bits=draw(st.sampled_from([8, 16, 24])))[8:]
    others = [
        chunk(
            draw(NAMES), draw(st.binary(max_size=20)), draw(st.none() | SIZES), draw(st.booleans())
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    size = draw(st.none() | SIZES)
    parts = draw(st.permutations([chunk(b"fmt ", head), *others]))
    content = riff(*parts, chunk(b"data", data, size, draw(st.booleans())))
    return content[: draw(st.just(len(content)) | st.integers(0, len(content)))]


def _hear(content: bytes) -> Audio | None:
    """Decode a file that may be anything: a sound within the limits, or one line."""
    try:
        heard = decode_bytes(content)
    except AudioError as error:
        line = str(error)
        heard = None
    if heard is None:
        assert "\n" not in line
        assert " at 0x" not in line
        return None
    assert np.isfinite(heard.samples).all()
    assert 0 < len(heard.samples) <= LONGEST_S * heard.rate_hz
    return heard


@pytest.mark.parametrize("examples", [100, pytest.param(4_000, marks=pytest.mark.slow)])
def test_any_header_gives_a_sound_or_one_line(examples: int) -> None:
    limits = Limits()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_files())
    def check(content: bytes) -> None:
        with limits:
            _hear(content)

    check()


@pytest.mark.parametrize("examples", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_sample_of_a_whole_file_is_lost(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(
        st.binary(min_size=24, max_size=400),
        st.integers(1, 4),
        st.sampled_from([8, 16, 24, 32]),
        st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=2),
    )
    def check(data: bytes, channels: int, bits: int, texts: list[tuple[bytes, bytes]]) -> None:
        frame = channels * bits // 8
        data = data[: len(data) // frame * frame]
        extra = [chunk(name, text) for name, text in texts if name not in (b"data", b"fmt ")]
        content = riff(*extra, layout(channels=channels, bits=bits), *extra, chunk(b"data", data))
        if (heard := _hear(content)) is not None:
            assert heard.samples.size == len(data) * 8 // bits

    check()
