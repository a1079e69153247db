"""The schedule: which clip runs in which system when, so that drift of the machine hits all alike.

Systems take turns in blocks of clips, each round in the reverse order of the last: A B B A A B B A.
The order of the systems and of the clips comes from the seed.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

from stabench.harness.datasets.dataset import clip_seed
from stabench.harness.runs.journal import Key


class Turn(NamedTuple):
    """One clip to run in one system. Its seed depends on nothing but clip, repeat and suite."""

    system: str
    clip: str
    repeat: int
    warmup: bool
    seed: int

    @property
    def key(self) -> Key:
        return Key(self.system, self.clip, self.repeat, self.warmup)


Batch = tuple[Turn, ...]


def order(names: Sequence[str], seed: int, what: str) -> list[str]:
    """Return `names` shuffled by the seed; `what` keeps the shuffles of two kinds apart."""
    shuffled = list(names)
    random.Random(f"{seed}:{what}").shuffle(shuffled)
    return shuffled


def blocks(
    systems: Sequence[str], clips: Sequence[str], *, repeats: int, block: int, seed: int
) -> Iterator[tuple[Turn, ...]]:
    """Yield every (system, clip, repeat) once, in blocks of one system each."""
    turn = order(systems, seed, "systems")
    shuffled = order(clips, seed, "clips")
    for repeat in range(repeats):
        for start in range(0, len(shuffled), block):
            chunk = shuffled[start : start + block]
            for system in turn:
                yield tuple(
                    Turn(system, clip, repeat, False, clip_seed(seed, clip, repeat))
                    for clip in chunk
                )
            # A B, then B A: a machine that slows down evenly slows all systems alike.
            turn.reverse()


def batches(block: Sequence[Turn], size: int) -> Iterator[Batch]:
    """Yield the turns of a block in their order, `size` at a time."""
    for start in range(0, len(block), size):
        yield tuple(block[start : start + size])


def warmups(system: str, clips: Sequence[str], seed: int, first: int = 0) -> Iterator[Turn]:
    """Yield an endless line of warm-up tasks, numbered from `first` so that no two share a key."""
    shuffled = order(clips, seed, "clips")
    for number in count(first):
        clip = shuffled[number % len(shuffled)]
        yield Turn(system, clip, number, True, clip_seed(seed, clip, number))
