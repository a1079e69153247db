"""The resampler against torchaudio's default, and what any resampler must do."""

import numpy as np
import pytest

from stabench.metrics.resample import resample


def test_44100_to_16000(parity, signal):
    expected = parity("frontend")["resample_44100_to_16000_torchaudio_default"]
    assert resample(signal(44100, 22050, seed=2), 44100, 16000) == pytest.approx(expected, abs=1e-5)


def test_16000_to_48000(parity, signal):
    expected = parity("frontend")["resample_16000_to_48000_torchaudio_default_first4000"]
    upsampled = resample(signal(16000, 40000), 16000, 48000)
    assert len(upsampled) == 120000
    assert upsampled[:4000] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(22050, 16000), (48000, 16000), (16000, 44100), (8000, 16000)]
)
def test_a_tone_keeps_its_pitch_and_level(from_hz, to_hz):
    def tone(rate_hz, samples):
        return np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz)

    out = resample(tone(from_hz, from_hz), from_hz, to_hz)
    assert out.dtype == np.float32
    assert len(out) == to_hz
    assert out[500:-500] == pytest.approx(tone(to_hz, to_hz)[500:-500], abs=2e-3)


def test_what_the_lower_rate_cannot_hold_is_removed():
    high = np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000)
    assert abs(resample(high, 48000, 16000)[200:-200]).max() < 0.01


@pytest.mark.parametrize("samples", [0, 1, 7, 441, 1000])
def test_length_is_rounded_up(samples):
    assert len(resample(np.zeros(samples), 44100, 16000)) == -(-samples * 160 // 441)


def test_the_same_rate_changes_nothing(signal):
    samples = signal(16000, 100)
    assert (resample(samples, 16000, 16000) == samples).all()


@pytest.mark.parametrize(
    ("samples", "from_hz", "to_hz", "message"),
    [
        (np.ones(9), 0, 16000, "cannot resample 0 Hz"),
        (np.ones(9), 44101, 16000, "ratio 16000/44101 needs too many filters"),
        (np.ones((9, 2)), 8000, 16000, r"shape \(9, 2\), expected \[T\]"),
    ],
)
def test_refusals(samples, from_hz, to_hz, message):
    with pytest.raises(ValueError, match=message):
        resample(samples, from_hz, to_hz)
