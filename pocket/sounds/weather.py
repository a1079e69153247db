"""Water, air and fire: rain, wind, waves, thunder, sizzling."""

import numpy as np

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.signal import RATE_HZ, Array, Rng


def rain(n: int, rng: Rng) -> Array:
    """Render a steady hiss with hundreds of ringing drops a second."""
    hiss = sg.lowpass(sg.highpass(sg.noise(n, rng), rng.uniform(700, 1300)), 5500)
    drops = np.zeros(n)
    m = sg.samples(0.012)
    for _ in range(int(n / RATE_HZ * rng.uniform(40, 90))):
        tone = rng.uniform(1500, 5000)
        ring = sg.sine(np.arange(m) * tone / RATE_HZ) * sg.decay(m, 0.0025)
        sg.place(drops, int(rng.integers(n)), ring, rng.uniform(0.2, 1.0) ** 2)
    return sg.level(hiss, 1.0) + sg.level(drops, rng.uniform(0.6, 1.1))


def wind(n: int, rng: Rng) -> Array:
    """Render howling: low noise and a narrow band whose pitch and strength follow slow gusts."""
    gust = sg.wander(n, rng, 0.15, 1.0, 0.8)
    base = sg.level(sg.lowpass(sg.noise(n, rng), 180, poles=2), 1.0)
    pitch = rng.uniform(330, 480) * (0.7 + 0.7 * gust)
    # A noise-modulated oscillator is a band of noise that can glide, which a fixed filter cannot.
    sway = sg.lowpass(sg.noise(n, rng), 14, poles=2)
    howl = sg.sine(sg.phase(pitch) + 0.8 * np.cumsum(sg.level(sway, 1.0)) * 14 / RATE_HZ)
    return base * (0.4 + gust) * 0.7 + howl * gust * gust * 1.1


def waves(n: int, rng: Rng) -> Array:
    """Render surf: swells that rise slowly, break with a bright crash and run out."""
    dull = sg.level(sg.lowpass(sg.noise(n, rng), 500), 1.0)
    bright = sg.level(sg.lowpass(sg.highpass(sg.noise(n, rng), 300), 3200), 1.0)
    rise, crash = np.zeros(n), np.zeros(n)
    at = -rng.uniform(0.0, 1.0)
    while at * RATE_HZ < n:
        m = sg.samples(rng.uniform(1.5, 2.1))
        swell, foam = sg.bump(m, 0.55) ** 2, sg.bump(m, 0.62) ** 4
        skip = max(0, -sg.samples(at))
        sg.place(rise, max(0, sg.samples(at)), swell[skip:])
        sg.place(crash, max(0, sg.samples(at)), foam[skip:], rng.uniform(0.8, 1.1))
        at += m / RATE_HZ * rng.uniform(0.8, 0.95)
    return dull * (0.08 + rise) + bright * crash


def thunder(n: int, rng: Rng) -> Array:
    """Render a crack, then rolling rumble below 150 Hz."""
    out = np.zeros(n)
    at = rng.uniform(0.0, 0.3)
    while at * RATE_HZ < n:
        m = sg.samples(rng.uniform(1.6, 2.6))
        rumble = sg.level(sg.lowpass(sg.noise(m, rng), rng.uniform(60, 110), poles=3), 1.0)
        roll = sg.wander(m, rng, 0.2, 1.0, 0.12) * sg.decay(m, 0.9)
        k = sg.samples(0.5)
        crack = sg.level(sg.lowpass(sg.noise(k, rng), 900), 1.0) * sg.decay(k, 0.07)
        crack = crack * sg.wander(k, rng, 0.0, 1.0, 0.015)
        sg.place(out, sg.samples(at), rumble * roll * np.minimum(1, np.arange(m) / 800))
        sg.place(out, sg.samples(at), crack, rng.uniform(0.8, 1.4))
        at += rng.uniform(1.4, 2.2)
    return out


def sizzle(n: int, rng: Rng) -> Array:
    """Render frying: noise above 4 kHz that flutters quickly, with sharp fat pops."""
    flutter = 0.5 + np.abs(sg.level(sg.lowpass(sg.noise(n, rng), 45, poles=2), 0.6))
    hiss = sg.level(sg.highpass(sg.noise(n, rng), rng.uniform(4200, 5400), poles=4), 1.0) * flutter
    pops = np.zeros(n)
    m = sg.samples(0.006)
    for _ in range(int(n / RATE_HZ * rng.uniform(14, 30))):
        pop = sg.highpass(sg.noise(m, rng), 2500) * sg.decay(m, 0.0012)
        sg.place(pops, int(rng.integers(n)), pop, rng.uniform(0.5, 2.0))
    return hiss + 2.5 * pops
