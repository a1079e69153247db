"""Slower and faster speech: its length, its pitch, its instants."""

import numpy as np
import pytest

from stabench.harness.datasets.conditions.condition import Speech, find_end_s
from stabench.harness.datasets.conditions.rate import stretch
from tests.harness.datasets.conditions.speech_like import hear, talk

RATES = {"slow": 0.8, "fast": 1.25}


def peak_hz(samples: np.ndarray, rate_hz: int) -> float:
    """The loudest frequency, between two bins by a parabola through their logarithms."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-12)
    top = int(spectrum.argmax())
    left, middle, right = spectrum[top - 1 : top + 2]
    return (top + 0.5 * (left - right) / (left - 2 * middle + right)) * rate_hz / len(samples)


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("pitch_hz", [110.0, 440.0, 2_000.0])
def test_the_pitch_stays_and_the_length_changes(name: str, rate_hz: int, pitch_hz: float) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    sine = 0.5 * np.sin(2 * np.pi * pitch_hz * time_s)
    heard = hear(name, Speech(sine, rate_hz)).samples
    assert len(heard) == round(rate_hz / RATES[name])
    assert peak_hz(heard, rate_hz) == pytest.approx(pitch_hz, abs=0.5)
    # Pieces that meet in phase keep the level everywhere but at the ends.
    middle = heard[rate_hz // 10 : -rate_hz // 10]
    assert np.std(middle) == pytest.approx(np.std(sine), rel=0.05)


@pytest.mark.parametrize("name", RATES)
def test_instants_move_in_proportion(name: str) -> None:
    speech = talk(2.0)
    outcome = hear(name, speech)
    end_s = find_end_s(speech)
    heard = Speech(outcome.samples.astype(float), speech.rate_hz)
    assert outcome.move(end_s) == pytest.approx(end_s / RATES[name], rel=1e-3)
    # Where the speech really ends now: pieces reach 7.5 ms to either side, and a frame is 20 ms.
    assert find_end_s(heard) == pytest.approx(outcome.move(end_s), abs=0.045)


@pytest.mark.parametrize("count", [1, 7, 100, 800])
def test_speech_of_a_moment_is_stretched_too(count: int) -> None:
    samples = np.linspace(-0.5, 0.5, count)
    for rate in RATES.values():
        heard = stretch(samples, 16_000, rate)
        assert len(heard) == max(1, round(count / rate))
        assert np.abs(heard).max() <= 0.6


def test_speech_at_its_own_rate_is_as_it_was() -> None:
    speech = talk()
    assert stretch(speech.samples, 16_000, 1.0) == pytest.approx(speech.samples, abs=1e-9)
