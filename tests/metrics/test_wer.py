"""Word errors: what is compared, and how texts of odd shape are counted."""

import jiwer
import numpy as np
import pytest

from stabench.harness.stats.bootstrap import Draws, ratio
from stabench.metrics.wer import normalise, word_errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog's bark, then RAIN!", "a dogs bark then rain"),
        ("well-known \N{EM DASH} wind", "well known wind"),
        ("  two\n lines\t", "two lines"),
        ("...", ""),
    ],
)
def test_case_punctuation_and_white_space_are_no_errors(text, words):
    assert normalise(text) == words
    assert word_errors(text, words)[0] == 0


@pytest.mark.parametrize(
    ("caption", "transcript", "errors"),
    [
        ("a dog barks", "", (3, 3)),
        ("a dog barks", "a big dog sparks", (2, 3)),
        ("", "words from nowhere", (3, 0)),
        ("", "", (0, 0)),
    ],
)
def test_errors_are_substitutions_deletions_insertions(caption, transcript, errors):
    assert word_errors(caption, transcript) == errors


def test_the_corpus_rate_weighs_clips_by_their_words():
    captions = ["a", "one two three four five six seven eight nine", "b c"]
    heard = ["x", "one two three four five six seven eight nine", "b"]
    errors, words = np.array([word_errors(*pair) for pair in zip(captions, heard, strict=True)]).T
    estimate = ratio(errors, words, Draws.of(3, replicates=50).counts)
    assert estimate.value == pytest.approx(jiwer.wer(captions, heard))
    assert 0 <= estimate.low <= estimate.value <= estimate.high


def test_the_interval_of_a_ratio_covers_the_truth():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        words = rng.integers(4, 15, 60)
        errors = rng.binomial(words, 0.2)
        estimate = ratio(errors, words, Draws.of(60, replicates=300, seed=trial).counts)
        covered += estimate.low <= 0.2 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.98


def test_nothing_in_the_denominator_is_no_ratio():
    assert ratio(np.zeros(4), np.zeros(4), Draws.of(4, replicates=9).counts).value is None
