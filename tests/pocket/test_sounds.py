"""The sound events: their signal primitives, their variety, and how scenes hold them."""

import math

import numpy as np
import pytest

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.events import EVENTS, LABELS
from stabench.pocket.sounds.scene import CLIP_SAMPLES, Scene, render, to_pcm16


def test_sine_is_the_sine():
    cycles = np.linspace(-3, 3, 10_001)
    assert np.abs(sg.sine(cycles) - np.sin(2 * np.pi * cycles)).max() < 2e-11


def test_decay_falls_to_1_over_e():
    envelope = sg.decay(sg.samples(0.2), 0.1)
    assert envelope[0] == 1.0
    assert envelope[sg.samples(0.1)] == pytest.approx(math.exp(-1), rel=1e-6)


def test_resonator_has_unit_gain_at_its_centre():
    tone = sg.sine(np.arange(16_000) * 1000 / sg.RATE_HZ)
    heard = sg.resonate(tone, 1000, 100)[8000:]
    assert np.abs(heard).max() == pytest.approx(1.0, abs=0.05)


def test_bump_rises_and_falls():
    envelope = sg.bump(1000, rise=0.2)
    assert envelope.argmax() == pytest.approx(200, abs=2)
    assert envelope.min() >= 0
    assert envelope.max() <= 1


def test_there_are_enough_events():
    assert len(LABELS) >= 16


@pytest.mark.parametrize("event", LABELS)
def test_event_is_finite_audible_and_never_twice_the_same(event):
    first, again, other = (
        EVENTS[event](CLIP_SAMPLES, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert first.std() > 1e-3
    assert np.abs(np.corrcoef(first, other)[0, 1]) < 0.9


def test_events_differ_in_spectrum_or_rhythm():
    """Nearest neighbour by mean log spectrum and modulation names the class of most clips."""
    seen = {(event, seed): _print(event, seed) for event in LABELS for seed in range(4)}
    right = 0
    for event in LABELS:
        near = min(
            (key for key in seen if key != (event, 0)),
            key=lambda key: np.abs(seen[key] - seen[event, 0]).mean(),
        )
        right += near[0] == event
    assert right >= 16


def _print(event: str, seed: int) -> np.ndarray:
    x = render(Scene((event,), "one", seed))
    frames = np.lib.stride_tricks.sliding_window_view(x, 512)[::160] * np.hanning(512)
    power = np.log(np.abs(np.fft.rfft(frames)) ** 2 + 1e-6)
    bands = power[:, 1:].reshape(len(power), 16, 16).mean(2)
    change = np.abs(np.fft.rfft(bands - bands.mean(0), axis=0))[1:65].reshape(16, 4, 16).mean(1)
    return np.concatenate([bands.mean(0), bands.std(0), np.log(change + 1).mean(1)])


def test_scene_in_sequence_holds_its_events_one_after_the_other():
    x = render(Scene(("thunder", "bird"), "then", 5))
    early, late = x[: CLIP_SAMPLES // 2 - 4000], x[CLIP_SAMPLES // 2 + 4000 :]
    assert _above_2_khz(late) > 10 * _above_2_khz(early)


def _above_2_khz(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x)) ** 2
    return float(spectrum[len(spectrum) // 4 :].sum() / spectrum.sum())


@pytest.mark.parametrize("seed", range(10))
def test_scene_is_never_clipped(seed):
    rng = np.random.default_rng(seed)
    x = render(Scene(tuple(rng.choice(LABELS, 2, replace=False)), "and", seed))
    assert x.shape == (CLIP_SAMPLES,)
    assert np.abs(x).max() < 0.951
    assert to_pcm16(x).dtype == np.dtype("<i2")
