"""The pocket world's graded sounds: scenes whose events are known, dropped or swapped exactly."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from stabench.harness.judges.gradings import Damage, Gradings, Known, gain, low_pass, noise
from stabench.harness.scoring.examination import Thresholds
from stabench.metrics.audio import Audio
from stabench.pocket import scenes
from stabench.pocket.scenes import Item
from stabench.pocket.sounds import scene as layers
from stabench.pocket.sounds import signal as sg
from stabench.pocket.sounds.events import EVENTS
from stabench.pocket.sounds.scene import CLIP_SAMPLES, Scene
from stabench.pocket.sounds.signal import RATE_HZ, Array

# Validation scenes that a probe learns from, that are held out, and those of them to damage.
TRAIN, TEST, DAMAGED = 240, 120, 48
NATIVES = frozenset({"pocket-clap", "pocket-cnn14", "pocket-events", "pocket-vggish"})
THRESHOLDS = Thresholds(
    accuracy={"classes": 0.95, "windows": 0.95, "probe": 0.95, "captions": 0.95},
    ideal=0.8,
    dimensions=10,
    monotony=0.95,
    floor=0.2,
    agreement=0.8,
)
# Of all events, so many are dropped or swapped: each level's hold those of the one before.
SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.9)
# What swapped events become: a set of sounds that lost most of its kinds.
FEW = ("rain", "engine", "bell", "typing")
PEAK = 0.95
NOTHING: frozenset[int] = frozenset()


class Parts(NamedTuple):
    """A scene in its layers, float32 [64000] each, before `scale` brings their sum within range.

    `spans` are the first sample and the length of each event.
    """

    background: Array
    events: tuple[Array, ...]
    spans: tuple[tuple[int, int], ...]
    scale: float


def pocket(train: int = TRAIN, test: int = TEST) -> Gradings:
    """Return the gradings; sounds are rendered when they are asked for (30 ms each)."""
    items = scenes.items("validation", train + test)
    held_out = items[train:]
    return Gradings(
        name="pocket",
        version=f"v{scenes.VERSION}",
        train=tuple(_describe_item(item) for item in items[:train]),
        test=tuple(_describe_item(item) for item in held_out),
        damages=(
            noise((-30, -24, -18, -12, -6, 0)),
            low_pass((4000, 2500, 1600, 1000, 600, 350)),
            _damage_events("dropped events", held_out[:DAMAGED], drop),
            _damage_events("swapped events", held_out[:DAMAGED], swap),
            gain((-6, -12, -18, -24, -30, -36)),
        ),
        natives=NATIVES,
        thresholds=THRESHOLDS,
        damaged=DAMAGED,
    )


def _describe_item(item: Item) -> Known:
    events, relation, _ = scene = item.scene
    steps = tuple((event,) for event in events) if relation == "then" else (events,)
    # With nothing dropped the sound is the scene as `render` makes it.
    return Known(item.id, partial(drop, scene), events, item.captions[0], steps)


@cache
def parts(scene: Scene) -> Parts:
    """Return the layers of a scene: their sum is what `pocket.sounds.scene.render` makes of it."""
    rng = np.random.default_rng(scene.seed)
    background = layers.render_background(rng)
    total, events, spans = background.copy(), [], []
    for event, start, length in layers.lay_out(scene, rng):
        placed = _render_event(event, start, length, rng)
        total += placed
        events.append(placed.astype(np.float32))
        spans.append((start, length))
    scale = min(1.0, PEAK / float(np.abs(total).max()))
    return Parts(background.astype(np.float32), tuple(events), tuple(spans), scale)


def drop(scene: Scene, gone: frozenset[int] = NOTHING) -> Audio:
    """Return the scene without some of its events, by number; all else is as it was."""
    background, events, _, scale = parts(scene)
    kept = (sound for number, sound in enumerate(events) if number not in gone)
    return Audio(scale * sum(kept, background), RATE_HZ)


def swap(scene: Scene, gone: frozenset[int]) -> Audio:
    """Return the scene with some of its events, by number, replaced in place by another of FEW."""
    if not gone:
        return drop(scene)
    background, events, _, scale = parts(scene)
    layers_now = (
        _render_substitute(scene, number) if number in gone else sound
        for number, sound in enumerate(events)
    )
    total = sum(layers_now, background)
    # A substitute may be louder than what it replaces: the sum must stay within range all the same.
    return Audio(min(scale, PEAK / float(np.abs(total).max())) * total, RATE_HZ)


@cache
def _render_substitute(scene: Scene, number: int) -> Array:
    """Render what replaces an event: over the same span, one of FEW that the scene has not."""
    rng = np.random.default_rng([scene.seed, number])
    absent = [event for event in FEW if event not in scene.events]
    event = absent[int(rng.integers(len(absent)))]
    return _render_event(event, *parts(scene).spans[number], rng).astype(np.float32)


def _render_event(event: str, start: int, length: int, rng: np.random.Generator) -> Array:
    """Render one event over the whole clip, as `render` adds it: levelled, faded, in its room."""
    sound = EVENTS[event](length, rng)
    loud = sg.level(layers.fade(sound), 0.1) * 10 ** (rng.uniform(-3.0, 3.0) / 20)
    out = np.zeros(CLIP_SAMPLES)
    sg.place(out, start, layers.add_room(loud, rng))
    return out


def _damage_events(
    kind: str, held_out: list[Item], make: Callable[[Scene, frozenset[int]], Audio]
) -> Damage:
    """Return a damage of whole events: `make` does it to those that are gone at a level."""
    scenes_by_id = {item.id: item.scene for item in held_out}
    places = [(id_, k) for id_, scene in scenes_by_id.items() for k in range(len(scene.events))]
    # All events in one random order: those that are gone at a level come first in it.
    order = np.random.default_rng(len(places)).permutation(len(places))
    turns = {places[index]: turn / len(places) for turn, index in enumerate(order)}

    def apply(known: Known, level: float) -> Audio:
        scene = scenes_by_id[known.id]
        numbers = range(len(scene.events))
        return make(scene, frozenset(k for k in numbers if turns[known.id, k] < level))

    return Damage(kind, "of all events", SHARES, apply)
