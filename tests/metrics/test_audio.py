"""Files as metrics hear them: exact where they are whole, refused where they are not."""

import hashlib

import numpy as np
import pytest
import soundfile

from stabench.metrics.audio import AudioError, content_sha256, decode, int16_round_trip, load, mono
from stabench.metrics.resample import resample


@pytest.fixture
def wav(tmp_path):
    """`wav(samples, rate_hz, subtype)`: the path of a file that holds them."""

    def write(samples, rate_hz=16000, subtype="FLOAT"):
        path = tmp_path / "clip.wav"
        soundfile.write(path, samples, rate_hz, subtype=subtype)
        return path

    return write


def test_float_samples_come_back_bit_for_bit(wav, signal):
    samples = signal(16000, 1000)
    decoded, rate_hz = decode(wav(samples))
    assert rate_hz == 16000
    assert decoded.dtype == np.float32
    assert (decoded == samples).all()


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23)])
def test_integer_samples_are_within_a_step(wav, signal, subtype, step):
    samples = signal(16000, 1000)
    assert decode(wav(samples, subtype=subtype)).samples == pytest.approx(samples, abs=step)


def test_channel_rules(wav):
    stereo = np.stack([np.full(50, 0.5), np.full(50, -0.25)], axis=1)
    samples = decode(wav(stereo)).samples
    assert (samples == stereo).all()
    assert mono(samples, "first") == pytest.approx(np.full(50, 0.5))
    assert mono(samples, "mean") == pytest.approx(np.full(50, 0.125))
    assert (mono(samples[:, 0], "mean") == samples[:, 0]).all()
    with pytest.raises(ValueError, match="channel rule is 'left', expected 'first' or 'mean'"):
        mono(samples, "left")


def test_channels_are_part_of_a_sound(wav):
    """One channel of 100 samples is not two channels of 50 of the same bytes."""
    samples = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    assert content_sha256(samples) != content_sha256(samples.reshape(50, 2))


def test_int16_round_trip_cuts_towards_zero():
    samples = np.array([0.5 / 32767, 1.9 / 32767, -1.9 / 32767, 2.0, -2.0], np.float32)
    steps = int16_round_trip(samples) * 32767
    assert steps == pytest.approx([0, 1, -1, 32767, -32767])


def test_load_removes_the_mean_before_it_resamples(wav, signal):
    samples = signal(44100, 22050) + np.float32(0.2)
    path = wav(samples, 44100)
    centred = samples - samples.mean(dtype=np.float64).astype(np.float32)
    assert (load(path, 16000) == resample(centred, 44100, 16000)).all()
    assert (load(path, 16000, remove_dc=False) == resample(samples, 44100, 16000)).all()
    assert abs(load(path, 44100).mean()) < 1e-6


def test_the_hash_is_of_the_samples(signal):
    samples = signal(16000, 100)
    assert content_sha256(samples) == hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()
    assert content_sha256(samples.astype(np.float64)) == content_sha256(samples)
    assert content_sha256(-samples) != content_sha256(samples)


def test_a_missing_file(tmp_path):
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        decode(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="cannot be read"):
        decode(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"ID3 not audio at all", "is not a RIFF WAVE file"),
        (b"RIFF\x04\x00\x00\x00WAVE", "truncated before its samples"),
        (b"RIFF\x0c\x00\x00\x00WAVEdata\x02\x00\x00\x00ab", "cannot be decoded"),
    ],
)
def test_broken_files(tmp_path, content, message):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        decode(path)


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_truncated_file(wav, signal, kept):
    path = wav(signal(16000, 5000))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(AudioError, match="truncated, its header promises 20000 bytes"):
        decode(path)


def test_no_samples_and_samples_that_are_no_numbers(wav):
    with pytest.raises(AudioError, match="holds no samples"):
        decode(wav(np.zeros(0)))
    with pytest.raises(AudioError, match="holds NaN or infinity"):
        decode(wav(np.array([0, np.nan, 0.5])))
    with pytest.raises(AudioError, match="holds NaN or infinity"):
        load(wav(np.array([[0, np.inf], [0, 0.5]])), 16000)
