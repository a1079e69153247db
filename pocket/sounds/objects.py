"""Things that are struck: bell, clock, knocking, typing."""

import numpy as np

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.signal import RATE_HZ, Array, Rng

# Ratios of a church bell's partials: hum, prime, tierce, quint, nominal and above.
_BELL = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.66, 3.01])


def bell(n: int, rng: Rng) -> Array:
    """Render a church bell: inharmonic partials that ring on, struck about once a second."""
    out = np.zeros(n)
    strike_hz, pause = rng.uniform(420, 900), rng.uniform(0.9, 1.5)
    at = rng.uniform(0.0, 0.2)
    while at * RATE_HZ < n:
        m = sg.samples(2.5)
        for k, ratio in enumerate(_BELL):
            tone = sg.sine(np.arange(m) * strike_hz * ratio / RATE_HZ + rng.random())
            ringing = tone * sg.decay(m, 1.1 / (1 + 0.6 * k))
            sg.place(out, sg.samples(at), ringing, 1 / (1 + 0.4 * k))
        at += pause * rng.uniform(0.97, 1.03)
    return out


def clock(n: int, rng: Rng) -> Array:
    """Render tick and tock: dry clicks at an exact pace, alternately high and low."""
    out = np.zeros(n)
    pace, high = rng.uniform(2.0, 3.6), rng.uniform(2600, 3800)
    m = sg.samples(0.03)
    at, tock = rng.uniform(0.0, 0.3), False
    while at * RATE_HZ < n:
        tone = high * (0.72 if tock else 1.0)
        turns = np.arange(m) * tone / RATE_HZ
        tick = (sg.sine(turns) + 0.5 * sg.sine(1.57 * turns)) * sg.decay(m, 0.0035)
        sg.place(out, sg.samples(at), tick)
        sg.place(out, sg.samples(at + 0.018), tick, 0.35)
        at += 1 / pace
        tock = not tock
    return out


def knocking(n: int, rng: Rng) -> Array:
    """Render knuckles on a door: groups of three to five woody raps."""
    out = np.zeros(n)
    tone, pace = rng.uniform(260, 520), rng.uniform(4.5, 6.5)
    m = sg.samples(0.12)
    at = rng.uniform(0.02, 0.25)
    while at * RATE_HZ < n:
        for _ in range(rng.integers(3, 6)):
            strike = sg.noise(m, rng) * sg.decay(m, 0.003)
            rap = sg.formants(strike, [(tone, 45, 1.0), (tone * 2.3, 90, 0.6), (1900, 500, 0.25)])
            sg.place(out, sg.samples(at), rap, rng.uniform(0.75, 1.0))
            at += rng.uniform(0.94, 1.06) / pace
        at += rng.uniform(0.35, 0.65)
    return out


def typing(n: int, rng: Rng) -> Array:
    """Render a keyboard: uneven bursts of plastic clicks, each a press and a softer release."""
    out = np.zeros(n)
    m = sg.samples(0.02)
    at = rng.uniform(0.0, 0.1)
    while at * RATE_HZ < n:
        tone = rng.uniform(1700, 2900)
        strike = sg.noise(m, rng) * sg.decay(m, 0.004)
        press = sg.formants(strike, [(tone, 700, 1.0), (tone * 1.9, 1200, 0.9)])
        thock = sg.sine(np.arange(m) * 210 / RATE_HZ) * sg.decay(m, 0.008) * 0.06
        sg.place(out, sg.samples(at), press + thock, rng.uniform(0.6, 1.0))
        sg.place(out, sg.samples(at + rng.uniform(0.05, 0.08)), press, rng.uniform(0.2, 0.4))
        at += rng.uniform(0.07, 0.16) if rng.random() < 0.85 else rng.uniform(0.25, 0.5)
    return out
