"""Living things: dog, birds, baby, whistling, applause, footsteps."""

import numpy as np

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.signal import RATE_HZ, Array, Rng


def dog(n: int, rng: Rng) -> Array:
    """Render barks: short harmonic bursts whose pitch jumps up and falls, in ones and twos."""
    out = np.zeros(n)
    pitch, size = rng.uniform(260, 480), rng.uniform(0.8, 1.2)
    at = rng.uniform(0.02, 0.2)
    while at * RATE_HZ < n:
        for _ in range(rng.integers(1, 4)):
            m = sg.samples(rng.uniform(0.11, 0.19))
            glide = pitch * (0.75 + 0.55 * sg.bump(m, 0.3)) * rng.uniform(0.95, 1.05)
            voice = sg.harmonics(glide, 1 / np.arange(1, 13) ** 0.6, rng) + 0.9 * sg.noise(m, rng)
            voice = sg.formants(voice, [(650 * size, 250, 1.0), (1500 * size, 350, 0.7)])
            sg.place(out, sg.samples(at), voice * sg.bump(m, 0.2), rng.uniform(0.8, 1.0))
            at += rng.uniform(0.22, 0.3)
        at += rng.uniform(0.25, 0.6)
    return out


def bird(n: int, rng: Rng) -> Array:
    """Render song: trills of quick whistled sweeps between 2.5 and 6 kHz."""
    out = np.zeros(n)
    at = rng.uniform(0.0, 0.15)
    while at * RATE_HZ < n:
        low, high = rng.uniform(2300, 3600), rng.uniform(4000, 6200)
        m, gap = sg.samples(rng.uniform(0.04, 0.09)), rng.uniform(0.02, 0.05)
        rising = rng.random() < 0.5
        for _ in range(rng.integers(3, 9)):
            ramp = np.linspace(0, 1, m)
            sweep = low + (high - low) * (ramp if rising else 1 - ramp)
            tone = sg.sine(sg.phase(sweep)) + 0.15 * sg.sine(2 * sg.phase(sweep))
            sg.place(out, sg.samples(at), tone * sg.bump(m), rng.uniform(0.6, 1.0))
            at += m / RATE_HZ + gap
        at += rng.uniform(0.12, 0.45)
    return out


def baby(n: int, rng: Rng) -> Array:
    """Render crying: long harmonic wails, arched and trembling, between gasps."""
    out = np.zeros(n)
    pitch, rate = rng.uniform(380, 560), rng.uniform(5.5, 8.0)
    at = rng.uniform(0.0, 0.15)
    while at * RATE_HZ < n:
        m = sg.samples(rng.uniform(0.6, 1.0))
        tremble = 1 + 0.035 * sg.sine(np.arange(m) * rate / RATE_HZ)
        glide = pitch * (0.8 + 0.3 * sg.bump(m, 0.35)) * tremble * rng.uniform(0.93, 1.07)
        voice = sg.harmonics(glide, 1 / np.arange(1, 16) ** 0.4, rng)
        voice = sg.formants(voice, [(1100, 220, 1.0), (2900, 400, 1.1)]) + 0.15 * voice
        sg.place(out, sg.samples(at), voice * sg.bump(m, 0.25) ** 0.5)
        at += m / RATE_HZ + rng.uniform(0.1, 0.25)
        gasp = sg.samples(0.09)
        breath = sg.resonate(sg.noise(gasp, rng), 1800, 900) * sg.bump(gasp)
        sg.place(out, sg.samples(at - 0.12), breath, 0.25)
    return out


def whistle(n: int, rng: Rng) -> Array:
    """Render a person whistling a tune: nearly pure tones on a scale, with vibrato and breath."""
    out = np.zeros(n)
    root = rng.uniform(850, 1350)
    scale = np.array([1, 9 / 8, 5 / 4, 4 / 3, 3 / 2, 5 / 3, 2])
    previous = root * rng.choice(scale)
    at = 0.0
    while at * RATE_HZ < n:
        m = sg.samples(rng.uniform(0.22, 0.55))
        target = root * rng.choice(scale)
        slide = np.minimum(np.arange(m) / (0.06 * RATE_HZ), 1.0)
        vibrato = 1 + 0.012 * sg.sine(np.arange(m) * 5.5 / RATE_HZ)
        pitch = (previous + (target - previous) * slide) * vibrato
        breath = 0.05 * sg.resonate(sg.noise(m, rng), target, 500)
        tone = sg.sine(sg.phase(pitch)) + 0.04 * sg.sine(2 * sg.phase(pitch)) + breath
        sg.place(out, sg.samples(at), tone * np.minimum(1, 6 * sg.bump(m)))
        previous = target
        at += m / RATE_HZ + (rng.uniform(0.05, 0.2) if rng.random() < 0.3 else 0.0)
    return out


def applause(n: int, rng: Rng) -> Array:
    """Render many hands: each person claps at an own rate and with an own palm resonance."""
    out = np.zeros(n)
    m = sg.samples(0.03)
    for _ in range(rng.integers(14, 26)):
        rate, tone = rng.uniform(3.2, 5.5), rng.uniform(700, 1700)
        clap = sg.resonate(sg.noise(m, rng), tone, 500) * sg.decay(m, 0.006)
        gain, at = rng.uniform(0.3, 1.0), rng.uniform(0, 1 / rate)
        while at * RATE_HZ < n:
            sg.place(out, sg.samples(at), clap, gain * rng.uniform(0.6, 1.0))
            at += rng.uniform(0.85, 1.15) / rate
    return out + 0.02 * sg.lowpass(sg.noise(n, rng), 2000)


def footsteps(n: int, rng: Rng) -> Array:
    """Render walking: a heel thud and a sole scuff, left and right a little different."""
    out = np.zeros(n)
    pace, low, scuff = rng.uniform(1.7, 2.4), rng.uniform(80, 150), rng.uniform(900, 2200)
    m = sg.samples(0.16)
    at, side = rng.uniform(0.02, 0.2), 0
    while at * RATE_HZ < n:
        tuned = 1 + 0.12 * side
        heel = sg.sine(sg.phase(low * tuned * (0.7 + 0.5 * sg.decay(m, 0.03)))) * sg.decay(m, 0.035)
        click = sg.resonate(sg.noise(m, rng), 350 * tuned, 250) * sg.decay(m, 0.012)
        sole = sg.resonate(sg.noise(m, rng), scuff * tuned, 900) * sg.bump(m, 0.4) ** 2
        step = heel + 2.0 * click
        sg.place(out, sg.samples(at), step, rng.uniform(0.8, 1.0))
        sg.place(out, sg.samples(at + 0.05), sole, 0.22)
        at += rng.uniform(0.96, 1.04) / pace
        side = 1 - side
    return out
