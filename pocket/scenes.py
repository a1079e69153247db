"""Which scenes make up a split: balanced over events and relations, drawn from the split's seed."""

from typing import NamedTuple

import numpy as np

from stabench.pocket.captions import Split, caption
from stabench.pocket.sounds.events import LABELS
from stabench.pocket.sounds.scene import Relation, Scene

VERSION = 1
_SEED = {
    "train": 1_000_000_000,
    "validation": 2_000_000_000,
    "test": 3_000_000_000,
    "development": 5_000_000_000,
}
RELATIONS: tuple[Relation, ...] = ("one", "and", "then")


class Item(NamedTuple):
    """One clip of a split before it is rendered."""

    id: str
    scene: Scene
    captions: tuple[str, ...]
    speech_seed: int


def items(split: Split, count: int, captions: int = 1) -> list[Item]:
    """Return the first `count` items of a split; item i is the same whatever `count` is."""
    rng = np.random.default_rng([_SEED[split], VERSION])
    deck: list[str] = []
    out = []
    for index in range(count):
        relation = RELATIONS[index % len(RELATIONS)]
        events = _deal(deck, 1 if relation == "one" else 2, rng)
        texts = tuple(caption(events, relation, split, rng) for _ in range(captions))
        # Two seeds a clip: the scene has the even ones, its speech the odd ones.
        seed = _SEED[split] + 2 * index
        item_id = f"{split}-{index:05d}-{'-'.join((relation, *events))}"
        out.append(Item(item_id, Scene(events, relation, seed), texts, seed + 1))
    return out


def _deal(deck: list[str], count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Deal different events from a shuffled, refilled deck, so that all come equally often."""
    hand: list[str] = []
    while len(hand) < count:
        if not deck:
            deck.extend(LABELS[i] for i in rng.permutation(len(LABELS)))
        event = deck.pop()
        if event in hand:
            # Back to the bottom: it is still owed to a later clip.
            deck.insert(0, event)
        else:
            hand.append(event)
    return tuple(hand)
