"""The pocket's floor: what a perfect generator would score, the test scenes rendered once more."""

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from stabench.harness.errors import MissingError
from stabench.metrics.audio import Audio
from stabench.pocket.dataset import MANIFEST
from stabench.pocket.sounds.scene import Relation, Scene, render, to_pcm16
from stabench.pocket.sounds.signal import RATE_HZ

# Seeds of scenes are counted from here; pocket/scenes.py begins at 1, 2, 3 and 5 billion.
SEED = 4_000_000_000


@dataclass(frozen=True)
class _Content:
    """What a clip of the test set must hold, and its `index` in the manifest."""

    events: tuple[str, ...]
    relation: Relation
    index: int


def regenerated(clip_id: str) -> Audio:
    """Return a new rendering of the clip's events in their relation: float32 [64000] at 16 kHz.

    Only the seed differs from the recording's, so no generator can be expected to come closer.
    The samples have the 16-bit steps of the recordings. Raises MissingError for a clip that is
    not in the pocket's test set.
    """
    contents = _read_contents()
    content = contents.get(clip_id)
    if content is None:
        raise MissingError(
            f"pocket.floor: clip '{clip_id}' is none of the {len(contents)} clips of the pocket "
            "test set; leave `floor` out of a suite on another dataset"
        )
    scene = Scene(content.events, content.relation, SEED + content.index)
    return Audio(to_pcm16(render(scene)).astype(np.float32) / 2**15, RATE_HZ)


@cache
def _read_contents() -> dict[str, _Content]:
    """Return the contents of all clips by id, from the manifest."""
    rows = json.loads(MANIFEST.read_text())["clips"]
    return {
        row["id"]: _Content(tuple(row["labels"]), row["relation"], index)
        for index, row in enumerate(rows)
    }
