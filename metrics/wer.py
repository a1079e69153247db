"""Word error rate of transcripts: errors over words of the whole set (corpus WER)."""

import unicodedata

import numpy as np

from stabench.metrics.registry import Metric
from stabench.metrics.sets import Ratio, Sets


def normalise(text: str) -> str:
    """Return the words that are compared: lower case, hyphens as spaces, no other punctuation.

    >>> normalise("A dog's bark -- then,  well-known RAIN.")
    'a dogs bark then well known rain'
    """
    spaced = "".join(" " if unicodedata.category(c) == "Pd" else c for c in text.lower())
    kept = "".join(c for c in spaced if not unicodedata.category(c).startswith("P"))
    return " ".join(kept.split())


def word_errors(caption: str, transcript: str) -> tuple[int, int]:
    """Return substitutions, deletions and insertions between normalised texts; the caption's words.

    >>> word_errors("A dog barks.", "a big dog sparks")
    (2, 3)
    """
    import jiwer

    wanted, heard = normalise(caption), normalise(transcript)
    # With no word to compare with, every word that was heard is an insertion.
    if not wanted:
        return len(heard.split()), 0
    words = jiwer.process_words(wanted, heard)
    return words.substitutions + words.deletions + words.insertions, len(wanted.split())


def measure(_metric: Metric, sets: Sets) -> Ratio:
    """Return errors and words [N] of each clip: WER = sum of errors / sum of words."""
    errors, words = np.array([word_errors(*pair) for pair in sets.texts]).T
    return Ratio(errors, words)
