"""CLAP score: does the sound match the caption?"""

import numpy as np

from stabench.metrics.checks import check_rows, require_same_rows, require_same_width
from stabench.metrics.registry import Metric
from stabench.metrics.sets import Sets


def clap_score(text: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Return the cosine [N], -1 to 1, of text and audio embeddings [N, D] that are paired by row.

    The order of systems can flip with the checkpoint: never compare scores of different ones.
    Raises ValueError for shapes that differ, rows of zeros, or values that are not finite.

    Its formula is t . a / (|t| |a|):

    >>> clap_score([[1.0, 0.0], [0.0, 2.0]], [[3.0, 4.0], [0.0, -1.0]]).round(6).tolist()
    [0.6, -1.0]
    """
    text, audio = check_rows("text embeddings", text), check_rows("audio embeddings", audio)
    require_same_rows("text embeddings", text, "audio embeddings", audio)
    require_same_width("text embeddings", text, "audio embeddings", audio)
    return np.sum(_normalise("text", text) * _normalise("audio", audio), axis=1)


def measure(metric: Metric, sets: Sets) -> np.ndarray:
    """Return the CLAP score [N] of each clip; the mean over its captions where it has several."""
    role = metric.needs[0]
    captions = sets.captions(role)
    counts = [len(table) for table in captions]
    audio = np.concatenate([clip.embeddings for clip in sets.gen(role)])
    # The captions of a clip lie side by side, each beside a copy of its clip's row.
    scores = clap_score(np.concatenate(captions), np.repeat(audio, counts, axis=0))
    return np.bincount(np.repeat(np.arange(len(counts)), counts), scores) / counts


def _normalise(name: str, table: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    if not norms.all():
        row = int(np.flatnonzero(norms[:, 0] == 0)[0])
        raise ValueError(
            f"{name} embedding of row {row} is all zeros, expected a direction; "
            "check the weights of the embedder"
        )
    return table / norms
