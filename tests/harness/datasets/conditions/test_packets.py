"""Lost and late packets: rates, bursts, what is heard in their place, where time goes."""

import numpy as np
import pytest

from stabench.harness.datasets.conditions import packets
from stabench.harness.datasets.conditions.condition import Speech
from stabench.harness.datasets.conditions.packets import (
    BURST,
    PATIENCE,
    conceal,
    draw_bursts,
    play,
)
from tests.harness.datasets.conditions.speech_like import hear, talk

PACKET = 320


def runs(lost: list[bool]) -> list[int]:
    """Lengths of the runs of lost packets."""
    text = "".join("x" if each else " " for each in lost)
    return [len(word) for word in text.split()]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.6])
def test_bursts_have_the_rate_and_the_mean_length_of_the_chain(rate: float) -> None:
    draws = np.random.default_rng(0).random(200_000).tolist()
    lost = draw_bursts(draws, rate)
    assert np.mean(lost) == pytest.approx(rate, rel=0.04)
    assert np.mean(runs(lost)) == pytest.approx(BURST, rel=0.03)


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_independent_losses_have_the_bursts_of_chance(rate: int) -> None:
    # At 1 kHz a packet is twenty samples.
    outcome = hear(f"loss{rate}", Speech(np.ones(20 * 40_000), 1_000))
    lost = (outcome.samples.reshape(-1, 20) == 0).all(axis=1)
    assert outcome.measured[0]["lost_share"] == np.mean(lost)
    assert np.mean(lost) == pytest.approx(rate / 100, rel=0.06)
    assert np.mean(runs(lost.tolist())) == pytest.approx(1 / (1 - rate / 100), rel=0.03)


def test_a_lost_packet_is_silence_or_the_last_one_again_each_time_half_as_loud() -> None:
    pieces = [np.full(4, level) for level in (1.0, 2.0, 3.0, 4.0)] + [np.full(2, 5.0)]
    lost = [True, False, True, True, True]
    assert conceal(pieces, lost, repeat=False).tolist() == [0] * 4 + [2] * 4 + [0] * 10
    repeated = conceal(pieces, lost, repeat=True).tolist()
    # Before the first one that came there is nothing to repeat; the last packet is a short one.
    assert repeated == [0] * 4 + [2] * 4 + [1] * 4 + [0.5] * 4 + [0.25] * 2


def test_speech_that_loses_packets_is_as_long_and_elsewhere_as_it_was() -> None:
    speech = talk(1.51)
    for name in ("loss30", "loss30-bursty-repeat"):
        outcome = hear(name, speech)
        assert len(outcome.samples) == len(speech.samples)
        changed = outcome.samples != speech.samples.astype(np.float32)
        assert 0 < changed.mean() < 0.6
        assert outcome.move(1.0) == 1.0


def test_a_buffer_plays_what_is_in_time_and_grows_for_what_is_late() -> None:
    assert play([0, 40, 20]) == [0, 1, 2]
    # Late by any time: lost, and 20 ms more from then on, so that 60 ms are in time.
    assert play([0, 41, 60, 61]) == [0, None, None, 2, None, None]


def test_a_buffer_that_stays_calm_gives_a_packet_up() -> None:
    delays = [50, *[0] * (PATIENCE + 3)]
    slots = play(delays)
    assert slots[:2] == [None, None]
    assert set(range(len(delays))) - {*slots} == {0, PATIENCE + 1}
    # As long as before: one step more at first, one less in the end.
    assert len(slots) == len(delays)


def test_a_buffer_grows_to_its_depth_and_no_further() -> None:
    late = [10_000] * 50
    assert len(play(late)) == 50 + (packets.DEEPEST_MS - packets.DEPTH_MS) // packets.STEP_MS


def test_instants_move_with_the_packets_that_carry_them() -> None:
    # A ramp: what is heard says when it was said.
    speech = Speech(np.arange(1, 64_001) / 64_001, 16_000)
    outcome = hear("jitter60", speech)
    assert outcome.measured[0]["inserted_s"] > 0
    assert len(outcome.samples) / 16_000 == pytest.approx(4 + outcome.measured[0]["inserted_s"])
    heard = outcome.samples.astype(np.float32)
    checked = 0
    for sample in range(0, 64_000, 97):
        place = round(outcome.move(sample / 16_000) * 16_000)
        if heard[min(place, len(heard) - 1)] > 0 and sample % PACKET:
            assert heard[place] == np.float32(speech.samples[sample])
            checked += 1
    assert checked > 500


def test_little_jitter_leaves_speech_as_it_is() -> None:
    speech = talk()
    outcome = hear("jitter20", speech)
    assert outcome.measured[0] == {"lost_share": 0.0, "inserted_s": 0.0}
    assert np.array_equal(outcome.samples, speech.samples.astype(np.float32))
