"""A scene: one or two events, together or one after the other, over a quiet background."""

from typing import Literal, NamedTuple

import numpy as np

from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.events import EVENTS
from stabench.pocket.sounds.signal import RATE_HZ, Array

CLIP_S = 4.0
CLIP_SAMPLES = round(CLIP_S * RATE_HZ)

Relation = Literal["one", "and", "then"]


class Scene(NamedTuple):
    """A clip's content: `events` (one or two labels) in their `relation`; `seed` draws the rest."""

    events: tuple[str, ...]
    relation: Relation
    seed: int


def render(scene: Scene) -> Array:
    """Render the scene's audio: float64 [64000] at 16 kHz, within +-0.95."""
    rng = np.random.default_rng(scene.seed)
    out = render_background(rng)
    for event, start, n in lay_out(scene, rng):
        sound = EVENTS[event](n, rng)
        loud = sg.level(fade(sound), 0.1) * 10 ** (rng.uniform(-3.0, 3.0) / 20)
        sg.place(out, start, add_room(loud, rng))
    # Scaling by the peak instead of clipping keeps every event's own waveform.
    peak = float(np.abs(out).max())
    return out * min(1.0, 0.95 / peak)


def to_pcm16(x: Array) -> Array:
    return np.round(x * 32767).astype("<i2")


def lay_out(scene: Scene, rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Return each event with its first sample and its length."""
    if scene.relation != "then":
        return [(event, 0, CLIP_SAMPLES) for event in scene.events]
    cut = sg.samples(rng.uniform(1.8, 2.2))
    first, second = scene.events
    return [(first, 0, cut), (second, cut, CLIP_SAMPLES - cut)]


def render_background(rng: np.random.Generator) -> Array:
    """Render the quiet noise behind the events, -56 to -44 dB."""
    hum = sg.level(sg.lowpass(sg.noise(CLIP_SAMPLES, rng), rng.uniform(300, 3000)), 1.0)
    return hum * 10 ** (rng.uniform(-56, -44) / 20)


def fade(x: Array) -> Array:
    """Fade in and out over 10 ms, so that no event begins with a click."""
    ramp = np.minimum(1.0, np.arange(1, len(x) + 1) / sg.samples(0.01))
    return x * ramp * ramp[::-1]


def add_room(x: Array, rng: np.random.Generator) -> Array:
    """Add early reflections: a handful of delayed, duller copies."""
    out = x.copy()
    for _ in range(rng.integers(2, 6)):
        delay = sg.samples(rng.uniform(0.008, 0.06))
        sg.place(out, delay, sg.lowpass(x, 3500), rng.uniform(0.05, 0.25))
    return out
