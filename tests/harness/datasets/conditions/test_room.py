"""The room: its reverberation time by another measurement, its first echoes by geometry."""

import numpy as np
import pytest

from stabench.harness.datasets.conditions import room
from stabench.harness.datasets.conditions.condition import Speech
from tests.harness.datasets.conditions.speech_like import hear, talk


@pytest.mark.parametrize("rt60_ms", [150, 300, 500, 1000])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050])
def test_the_reverberation_time_is_reached(rt60_ms: int, rate_hz: int) -> None:
    response, recorded_s = room.find_response(rt60_ms, rate_hz)
    assert recorded_s == pytest.approx(rt60_ms / 1000, rel=0.01)
    # Another measurement: the time from 5 to 25 dB below, by the first sample at each level.
    remaining = np.cumsum(response[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(remaining / remaining[0])
    high, low = (int(np.argmax(level_db <= level)) for level in (-5, -25))
    assert (low - high) / rate_hz * 3 == pytest.approx(rt60_ms / 1000, rel=0.10)


def test_a_straight_decay_is_measured_as_what_it_is() -> None:
    decay = np.exp(-6.9078 * np.arange(8_000) / 8_000 / 0.4)
    assert room.measure_rt60(decay, 8_000) == pytest.approx(0.4, rel=0.01)


def test_the_first_echo_is_that_of_the_floor() -> None:
    rate_hz = 48_000
    response, _ = room.find_response(300, rate_hz)
    (sx, sy, sz), (mx, my, mz) = room.SPEAKER_M, room.MICROPHONE_M
    direct = np.hypot(np.hypot(sx - mx, sy - my), sz - mz)
    floor = np.hypot(np.hypot(sx - mx, sy - my), sz + mz)
    delay = (floor - direct) / room.SOUND_M_S * rate_hz
    assert np.argmax(np.abs(response)) == 0
    assert np.abs(response[20 : int(delay) - 20]).max() < 0.03
    echo = int(delay) - 4 + np.argmax(np.abs(response[int(delay) - 4 : int(delay) + 6]))
    assert echo == pytest.approx(delay, abs=1)


def test_the_direct_sound_is_neither_moved_nor_scaled() -> None:
    click = np.zeros(8_000)
    click[1_000] = 0.25
    outcome = hear("reverb300", Speech(click, 16_000))
    assert np.argmax(np.abs(outcome.samples)) == 1_000
    assert outcome.samples[1_000] == pytest.approx(0.25, rel=0.01)
    assert np.abs(outcome.samples[:990]).max() < 1e-9
    # The decay after the last word is kept: 0.3 s more.
    assert len(outcome.samples) == pytest.approx(8_000 + 4_800, abs=2)
    assert outcome.move(0.4) == 0.4


def test_an_echo_is_louder_the_longer_the_room_rings() -> None:
    speech = talk()
    tails = [hear(f"reverb{ms}", speech).samples[len(speech.samples) :] for ms in (200, 800)]
    assert np.abs(tails[1][:2_000]).mean() > 3 * np.abs(tails[0][:2_000]).mean()
