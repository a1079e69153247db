"""A CLAP's text tower: does it tell texts apart at all?

Some published checkpoints do not, under some releases of transformers: `laion/larger_clap_music`
gives unrelated captions a cosine of 0.9993 under transformers 5. Every CLAP score of such a network
is the same number plus noise, with a narrow interval.
"""

from collections.abc import Iterable
from itertools import combinations

import numpy as np

# Captions that have nothing in common: a text tower that works points elsewhere for each.
UNRELATED = (
    "a dog barks",
    "an orchestra plays softly",
    "rain falls on a roof",
    "a man gives a speech",
    "glass breaks",
    "an engine idles",
    "birds sing in a forest",
    "a door slams shut",
)
# Of the median pair: above it all texts are nearly one vector.
LARGEST_COSINE = 0.95


def measure_likeness(rows: Iterable[np.ndarray]) -> float:
    """Return the median cosine of all pairs of text embeddings [N, D], 0 to 1, whatever its sign.

    Rows of zeros or of NaN have no direction: they count as alike. Raises ValueError for fewer than
    two rows.

    >>> [round(measure_likeness(rows), 3) for rows in (np.eye(3), [[1.0, 2.0], [-2.0, -4.0]])]
    [0.0, 1.0]
    """
    table = np.array([np.asarray(row, np.float64) for row in rows])
    if len(table) < 2:
        raise ValueError(f"text tower: {len(table)} embeddings, expected at least 2")
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    whole = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)
    units = table / np.where(whole[:, None], norms, 1)
    cosines = [
        abs(float(units[a] @ units[b])) if whole[a] and whole[b] else 1.0
        for a, b in combinations(range(len(table)), 2)
    ]
    return min(float(np.median(cosines)), 1.0)


def explain_collapse(likeness: float) -> str:
    """Return why a text tower of this likeness cannot be used; nothing for one that can."""
    if likeness < LARGEST_COSINE:
        return ""
    return (
        f"unrelated captions have cosine {likeness:.4f}, expected under {LARGEST_COSINE}: its text "
        "tower is broken, or its tokenizer; use other weights"
    )
