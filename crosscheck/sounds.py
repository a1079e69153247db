"""Seeded sounds of many shapes, written as the 16-bit WAV files that systems and data sets have."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile


class Shape(NamedTuple):
    """Of one file."""

    rate_hz: int
    channels: int
    duration_s: int


SHAPES = (
    Shape(16000, 1, 10),
    Shape(44100, 2, 10),
    Shape(48000, 1, 6),
    Shape(32000, 2, 12),
    Shape(22050, 1, 6),
    Shape(48000, 2, 12),
)


def sound(seed: int, shape: Shape) -> np.ndarray:
    """Mix a chirp, a gated tone, noise and an offset by `seed`: [T, channels]."""
    rng = np.random.default_rng(seed)
    t = np.arange(shape.rate_hz * shape.duration_s) / shape.rate_hz
    start_hz, slope, tone_hz = rng.uniform((100, 20, 800), (600, 300, 6000))
    chirp = rng.uniform(0.1, 0.4) * np.sin(2 * np.pi * (start_hz * t + slope * t**2))
    gate = t % rng.uniform(0.3, 2) < 0.2
    tone = rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * tone_hz * t) * gate
    noise = rng.uniform(0.005, 0.1) * rng.standard_normal((shape.channels, len(t)))
    return np.clip(chirp + tone + noise + 0.01, -1, 1).T


def write(folder: Path, count: int, first_seed: int) -> list[Path]:
    """Write `count` files into `folder`, of the shapes in turn.

    Return them in the order of names.
    """
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        shape = SHAPES[number % len(SHAPES)]
        paths.append(folder / f"{number:03d}-{shape.rate_hz}-{shape.duration_s}s.wav")
        samples = sound(first_seed + number, shape)
        soundfile.write(paths[-1], samples, shape.rate_hz, subtype="PCM_16")
    return paths
