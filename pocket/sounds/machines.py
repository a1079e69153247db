"""Engines and signals: engine, siren, horn, telephone, sawing."""

import numpy as np

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.signal import RATE_HZ, Array, Rng


def engine(n: int, rng: Rng) -> Array:
    """Render combustion pulses at 22 to 48 Hz through exhaust resonances, revving slowly."""
    speed = rng.uniform(22, 48) * sg.wander(n, rng, 0.93, 1.12, 1.3)
    turn = sg.phase(speed * (1 + 0.01 * sg.level(sg.lowpass(sg.noise(n, rng), 30), 1.0)))
    firing = np.diff(np.floor(turn), prepend=0.0) * rng.uniform(0.75, 1.0, n)
    m = sg.samples(0.02)
    pulse = sg.noise(m, rng) * sg.decay(m, 0.002) + sg.decay(m, 0.004)
    exhaust = np.convolve(firing, pulse)[:n]
    tone = rng.uniform(140, 260)
    body = sg.formants(exhaust, [(tone, 60, 1.0), (2.4 * tone, 120, 0.8), (1300, 500, 0.35)])
    return sg.level(body, 1.0) + 0.12 * sg.level(sg.lowpass(sg.noise(n, rng), 900), 1.0)


def siren(n: int, rng: Rng) -> Array:
    """Render wail: a rich tone sweeping between about 550 and 1500 Hz, slowly or quickly."""
    period = rng.uniform(0.5, 0.9) if rng.random() < 0.4 else rng.uniform(1.6, 3.0)
    t = np.arange(n) / RATE_HZ / period + rng.random()
    sweep = 0.5 - 0.5 * sg.sine(t + 0.25)
    pitch = rng.uniform(520, 680) + rng.uniform(650, 900) * sweep
    return sg.harmonics(pitch, np.array([1, 0.25, 0.45, 0.1, 0.2]), rng)


def horn(n: int, rng: Rng) -> Array:
    """Render a car horn: two steady buzzing tones a third apart, in blasts."""
    out = np.zeros(n)
    low = rng.uniform(330, 430)
    high = low * rng.uniform(1.2, 1.28)
    at = rng.uniform(0.0, 0.25)
    while at * RATE_HZ < n:
        m = sg.samples(rng.choice([rng.uniform(0.18, 0.35), rng.uniform(0.6, 1.1)]))
        amplitudes = 1 / np.arange(1, 12) ** 0.55
        tone = sg.harmonics(np.full(m, low), amplitudes, rng)
        tone += sg.harmonics(np.full(m, high), amplitudes, rng)
        sg.place(out, sg.samples(at), tone * np.minimum(1, 12 * sg.bump(m)))
        at += m / RATE_HZ + rng.uniform(0.12, 0.5)
    return out


def telephone(n: int, rng: Rng) -> Array:
    """Render an old bell telephone: a hammer trilling between two gongs, ring and pause."""
    out = np.zeros(n)
    tones, trill = (rng.uniform(1400, 1750), rng.uniform(1850, 2300)), rng.uniform(20, 26)
    m = sg.samples(0.12)
    at = rng.uniform(0.0, 0.3)
    while at * RATE_HZ < n:
        for strike in range(int(trill * rng.uniform(0.8, 1.1))):
            partials = tones[strike % 2] * np.array([1.0, 2.1, 3.0])
            ring = sum(
                sg.sine(np.arange(m) * p / RATE_HZ + rng.random()) / (k + 1)
                for k, p in enumerate(partials)
            )
            sg.place(out, sg.samples(at), ring * sg.decay(m, 0.035))
            at += 1 / trill
        at += rng.uniform(0.35, 0.7)
    return out


def sawing(n: int, rng: Rng) -> Array:
    """Render a hand saw: strokes to and fro, each a rasp of teeth whose pitch follows the hand."""
    out = np.zeros(n)
    strokes, teeth, tone = rng.uniform(2.6, 3.8), rng.uniform(110, 170), rng.uniform(1500, 2400)
    at, push = rng.uniform(0.0, 0.1), True
    while at * RATE_HZ < n:
        m = sg.samples(0.88 / strokes)
        speed = sg.bump(m, 0.45)
        rasp = 0.5 + 0.5 * sg.sine(sg.phase(teeth * (0.3 + speed)))
        centre = tone * (1.25 if push else 0.8)
        wood = sg.formants(sg.noise(m, rng), [(centre, 700, 1.0), (centre * 2.1, 1200, 0.6)])
        sg.place(out, sg.samples(at), wood * rasp**2 * speed, 1.0 if push else 0.7)
        at += 1 / strokes * rng.uniform(0.97, 1.03)
        push = not push
    return out
