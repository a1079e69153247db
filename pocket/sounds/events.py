"""The event classes: one name, one renderer. The order fixes the tagger's class indices."""

from collections.abc import Callable

from stabench.pocket.sounds import creatures, machines, objects, weather
from stabench.pocket.sounds.signal import Array, Rng

Renderer = Callable[[int, Rng], Array]

EVENTS: dict[str, Renderer] = {
    "dog": creatures.dog,
    "bird": creatures.bird,
    "baby": creatures.baby,
    "whistle": creatures.whistle,
    "applause": creatures.applause,
    "footsteps": creatures.footsteps,
    "rain": weather.rain,
    "wind": weather.wind,
    "waves": weather.waves,
    "thunder": weather.thunder,
    "sizzle": weather.sizzle,
    "engine": machines.engine,
    "siren": machines.siren,
    "horn": machines.horn,
    "telephone": machines.telephone,
    "sawing": machines.sawing,
    "bell": objects.bell,
    "clock": objects.clock,
    "knocking": objects.knocking,
    "typing": objects.typing,
}

LABELS: tuple[str, ...] = tuple(EVENTS)
