"""Noise and babble: the ratio that was asked for is the one that can be measured."""

from itertools import pairwise

import numpy as np
import pytest

from stabench.harness.datasets.conditions.condition import (
    ConditionError,
    Speech,
    apply,
    find_active,
    make_generator,
    parse_condition,
)
from stabench.harness.datasets.conditions.noise import SUMMED
from tests.harness.datasets.conditions.speech_like import hear, talk

RATIOS = (20, 10, 5, 0, -5)


@pytest.mark.parametrize("family", ["noise", "babble"])
@pytest.mark.parametrize("ratio_db", RATIOS)
@pytest.mark.parametrize("seconds", [0.05, 1.5])
def test_the_ratio_over_speech_is_reached_and_recorded(family, ratio_db, seconds) -> None:
    # Without the silence that it begins with, of which 50 ms would be all.
    speech = talk(seconds + 0.1)
    speech = Speech(speech.samples[1_600:], speech.rate_hz)
    outcome = hear(f"{family}{ratio_db}", speech)
    active = find_active(speech)
    noise = outcome.samples / outcome.gain - speech.samples
    # By NumPy's own sums, in float64, from the float32 that a system is given.
    measured = 10 * np.log10(np.mean(speech.samples[active] ** 2) / np.mean(noise[active] ** 2))
    assert measured == pytest.approx(ratio_db, abs=0.01)
    assert outcome.measured[0]["snr_db"] == pytest.approx(ratio_db, abs=1e-9)


def test_silence_around_the_speech_does_not_move_the_ratio() -> None:
    short = talk(1.0)
    long = Speech(np.concatenate([short.samples, np.zeros(32_000)]), short.rate_hz)
    noises = [hear("noise10", speech).samples - speech.samples for speech in (short, long)]
    # Over the whole clip the ratio of the second one would be 5 dB lower for the same noise.
    assert np.std(noises[1]) == pytest.approx(np.std(noises[0]), rel=0.03)


def test_the_noise_is_white_and_nearly_gaussian() -> None:
    speech = Speech(np.full(160_000, 0.1), 16_000)
    noise = hear("noise20", speech).samples - 0.1
    noise = noise / noise.std()
    assert abs(noise.mean()) < 0.02
    assert abs((noise**3).mean()) < 0.03
    # The excess kurtosis of a sum of n uniform numbers is -1.2 / n.
    assert (noise**4).mean() - 3 == pytest.approx(-1.2 / SUMMED, abs=0.04)
    power = (np.abs(np.fft.rfft(noise)[1:]) ** 2)[: 8 * 9_999].reshape(8, -1).mean(axis=1)
    assert power / power.mean() == pytest.approx(np.ones(8), abs=0.06)


def test_speech_without_speech_in_it_has_no_ratio() -> None:
    for name in ("noise10", "babble10"):
        with pytest.raises(ConditionError, match="no frame holds speech"):
            hear(name, Speech(np.zeros(16_000), 16_000))


@pytest.mark.parametrize("others", [0, 1])
def test_a_babble_needs_other_people(others: int) -> None:
    with pytest.raises(ConditionError, match=f"the dataset has {others}"):
        apply(
            parse_condition("babble10"),
            talk(),
            seed=0,
            clip="c",
            voices=lambda _: iter([talk(pitch_hz=200)][:others]),
        )


def test_the_people_of_a_babble_are_equally_loud_and_talk_at_once() -> None:
    speech = Speech(np.full(16_000, 0.1), 16_000)
    pitches = (110, 140, 170, 200)
    people = [talk(1.0, 16_000, pitch, 0.05 * n + 0.02) for n, pitch in enumerate(pitches)]
    babble = apply(
        parse_condition("babble10"), speech, seed=0, clip="c", voices=lambda _: iter(people)
    )
    spectrum = np.abs(np.fft.rfft(babble.samples - 0.1))
    # The period is a whole number of samples: 16000 // 110 = 145, which is 110.3 Hz, and so on.
    peaks = [spectrum[pitch - 3 : pitch + 4].max() for pitch in pitches]
    assert max(peaks) / min(peaks) < 1.6
    for low, high in pairwise(pitches):
        assert spectrum[(low + high) // 2] < min(peaks) / 2


def test_the_generator_uses_only_what_is_the_same_on_every_processor() -> None:
    draws = make_generator(0, "clip", "noise")
    # PCG64 seeded by a digest: integers, and the upper 53 bits of integers as fractions.
    assert draws.random(2).tolist() == [0.6208413579728077, 0.9532097680928948]
    assert draws.integers(1_000, size=3).tolist() == [699, 27, 758]
