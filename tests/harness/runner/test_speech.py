"""Speech: files of every kind a user may bring, each accepted as promised or refused in a line."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stabench.harness.runner.adapter import SpeechError, read_speech
from stabench.metrics.audio import encode

RATE_HZ = 16_000


def _write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, kind: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=kind)
    return path


def _tone(duration_s: float, rate_hz: int, pitch_hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(round(duration_s * rate_hz)) / rate_hz)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    data = encode(np.zeros(1_000, np.float32), RATE_HZ)
    path.write_bytes(data[:-400])


def _text(path: Path) -> None:
    path.write_text("this is not sound, but it is long enough to be mistaken for a header")


def _flac(path: Path) -> None:
    soundfile.write(path, np.zeros(100), RATE_HZ, format="FLAC")


def _nan(path: Path) -> None:
    path.write_bytes(encode(np.array([0.1, np.nan, 0.2], np.float32), RATE_HZ))


def _no_samples(path: Path) -> None:
    path.write_bytes(encode(np.zeros(0, np.float32), RATE_HZ))


def _header_only(path: Path) -> None:
    path.write_bytes(b"RIFF" + struct.pack("<I", 4) + b"WAVE")


def _loud(path: Path) -> None:
    path.write_bytes(encode(np.array([0.1, 20_000.0], np.float32), RATE_HZ))


def _odd_rate(path: Path) -> None:
    path.write_bytes(encode(np.zeros(100, np.float32), 15_991))


def _folder(path: Path) -> None:
    path.mkdir()


BAD = {
    _empty: "the file is empty",
    _truncated: "truncated",
    _text: "not a RIFF WAVE file",
    _flac: "not a RIFF WAVE file",
    _nan: "NaN",
    _no_samples: "no samples",
    _header_only: "truncated",
    _loud: "peak is 2e+04",
    _odd_rate: "15991 Hz",
    _folder: "it is a folder, not a file",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__.strip("_"))
def test_bad_speech_is_refused_in_one_line_with_its_path(tmp_path: Path, make) -> None:
    path = tmp_path / "speech.wav"
    make(path)
    with pytest.raises(SpeechError) as caught:
        read_speech(path, RATE_HZ)
    line = str(caught.value)
    assert BAD[make] in line
    assert line.startswith("speech ")
    assert "\n" not in line
    assert make is _odd_rate or "speech.wav" in line


def test_a_missing_file_and_a_clip_without_one(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="no such file"):
        read_speech(tmp_path / "none.wav", RATE_HZ)
    with pytest.raises(SpeechError, match="has no speech file"):
        read_speech(None, RATE_HZ)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("duration_s", [0.05, 1.0])
def test_every_rate_arrives_as_the_same_tone(
    tmp_path: Path, rate_hz: int, duration_s: float
) -> None:
    path = _write(tmp_path / "a.wav", _tone(duration_s, rate_hz), rate_hz)
    samples = read_speech(path, RATE_HZ)
    assert samples.dtype == np.float32
    assert abs(len(samples) - duration_s * RATE_HZ) <= 1
    expected = _tone(duration_s, RATE_HZ)[: len(samples)]
    middle = slice(100, -100)
    np.testing.assert_allclose(samples[: len(expected)][middle], expected[middle], atol=0.01)


def test_a_minute_is_accepted(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.wav", np.zeros(60 * 8_000), 8_000)
    assert len(read_speech(path, RATE_HZ)) == 60 * RATE_HZ


def test_silence_is_accepted(tmp_path: Path) -> None:
    assert not read_speech(_write(tmp_path / "a.wav", np.zeros(800)), RATE_HZ).any()


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(800, 0.5), np.full(800, -0.25)
    path = _write(tmp_path / "a.wav", np.stack([left, right], axis=1), kind="FLOAT")
    np.testing.assert_allclose(read_speech(path, RATE_HZ), np.full(800, 0.125), atol=1e-7)


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_is_read(tmp_path: Path, kind: str) -> None:
    path = _write(tmp_path / "a.wav", _tone(0.1, RATE_HZ), kind=kind)
    np.testing.assert_allclose(read_speech(path, RATE_HZ), _tone(0.1, RATE_HZ), atol=0.01)


def test_full_scale_stays_within_full_scale_after_resampling(tmp_path: Path) -> None:
    square = np.sign(_tone(0.2, 44_100, 500.0)).astype(np.float32)
    path = _write(tmp_path / "a.wav", square, 44_100, "FLOAT")
    assert np.abs(read_speech(path, RATE_HZ)).max() <= 1


def test_our_own_wav_is_read_by_others_bit_for_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal(1_001).astype(np.float32)
    path = tmp_path / "a.wav"
    path.write_bytes(encode(samples, 24_000))
    found, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 24_000
    np.testing.assert_array_equal(found, samples)
    assert encode(samples, 24_000) == path.read_bytes()
