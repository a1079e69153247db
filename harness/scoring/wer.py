"""Transcripts: the corpus word error rate of what a cascade heard, with an interval over clips."""

import unicodedata
from collections.abc import Mapping

import numpy as np

from stabench.harness.scoring.evaluation_set import Exam
from stabench.harness.stats.estimate import Estimate, ratio

NORMALISER = "lower case, punctuation removed, white space collapsed"


def normalise(text: str) -> str:
    """The words that are compared: lower case, hyphens as spaces, other punctuation removed.

    >>> normalise("A dog's bark -- then,  well-known RAIN.")
    'a dogs bark then well known rain'
    """
    spaced = "".join(" " if unicodedata.category(c) == "Pd" else c for c in text.lower())
    kept = "".join(c for c in spaced if not unicodedata.category(c).startswith("P"))
    return " ".join(kept.split())


def word_errors(caption: str, transcript: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions between normalised texts; words in the caption.

    >>> word_errors("A dog barks, then rain falls.", "the dog barks rain falls fast")
    (3, 6)
    """
    import jiwer

    wanted, heard = normalise(caption), normalise(transcript)
    if not wanted:
        return len(heard.split()), 0
    found = jiwer.process_words(wanted, heard)
    return found.substitutions + found.deletions + found.insertions, len(wanted.split())


def word_error_rate(exam: Exam, transcripts: Mapping[str, str]) -> Estimate:
    """Errors over words of all clips that have a caption and a transcript (corpus WER)."""
    captions = ((name, exam.items[name].said) for name in exam.ids if name in transcripts)
    said = {name: caption for name, caption in captions if caption}
    if not any(item.captions for item in exam.items.values()):
        return Estimate.missing("no captions")
    if not said:
        return Estimate.missing("no transcripts")
    pairs = [word_errors(caption, transcripts[name]) for name, caption in said.items()]
    errors, words = np.array(pairs).T
    if len(said) < 2:
        return Estimate.missing("needs at least 2 clips, has 1", 1)
    return ratio(errors, words, exam.counts([*said]))
