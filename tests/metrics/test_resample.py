"""The resampler against torchaudio's default, and what any resampler must do."""

import numpy as np
import pytest

from stabench.metrics.resample import NAME, RESAMPLERS, WINDOWS, resample


def test_44100_to_16000(parity, signal):
    expected = parity("frontend")["resample_44100_to_16000_torchaudio_default"]
    assert resample(signal(44100, 22050, seed=2), 44100, 16000) == pytest.approx(expected, abs=1e-5)


def test_16000_to_48000(parity, signal):
    expected = parity("frontend")["resample_16000_to_48000_torchaudio_default_first4000"]
    upsampled = resample(signal(16000, 40000), 16000, 48000)
    assert len(upsampled) == 120000
    assert upsampled[:4000] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(22050, 16000), (48000, 16000), (16000, 44100), (8000, 16000)]
)
def test_a_tone_keeps_its_pitch_and_level(from_hz, to_hz, resampler):
    def tone(rate_hz, samples):
        return np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz)

    out = resample(tone(from_hz, from_hz), from_hz, to_hz, resampler)
    assert out.dtype == np.float32
    assert len(out) == to_hz
    assert out[500:-500] == pytest.approx(tone(to_hz, to_hz)[500:-500], abs=2e-3)


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_what_the_lower_rate_cannot_hold_is_removed(resampler):
    high = np.sin(2 * np.pi * 12000 * np.arange(48000) / 48000)
    assert abs(resample(high, 48000, 16000, resampler)[200:-200]).max() < 0.01


@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize("samples", [1, 7, 441, 1000])
def test_length_is_rounded_up(samples, resampler):
    assert len(resample(np.zeros(samples), 44100, 16000, resampler)) == -(-samples * 160 // 441)


def test_nothing_stays_nothing():
    assert len(resample(np.zeros(0), 44100, 16000)) == 0


@pytest.mark.parametrize("resampler", WINDOWS)
def test_a_sample_is_the_sum_over_the_windowed_sinc_around_it(resampler, signal):
    window, samples = WINDOWS[resampler], signal(44100, 8820, seed=3)
    out = resample(samples, 44100, 16000, resampler)
    cutoff = 16000 / 44100 * window.rolloff
    for place in (900, 1601, 2222):
        # In input samples: how far each lies from the output sample, in zero crossings.
        distance = (np.arange(len(samples)) - place * 44100 / 16000) * cutoff
        inside = np.clip(distance / window.zero_crossings, -1, 1)
        if window.beta is None:
            weights = np.cos(inside * np.pi / 2) ** 2
        else:
            weights = np.i0(window.beta * np.sqrt(1 - inside**2)) / np.i0(window.beta)
        expected = cutoff * np.sum(samples * np.sinc(distance) * weights)
        assert out[place] == pytest.approx(expected, abs=1e-5)


def test_resamplers_differ_where_they_should(signal):
    noise = np.random.default_rng(0).standard_normal(44100)
    usual, *others = (resample(noise, 44100, 16000, name) for name in RESAMPLERS)
    assert RESAMPLERS[0] == NAME
    for other in others:
        assert 0.02 < np.linalg.norm(other - usual) / np.linalg.norm(usual) < 0.3


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
