"""Transcripts: pieces that rebuild both texts, with the word error rate's own count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.report.html.clips import align
from stabench.metrics.wer import normalise, word_errors

sentences = st.lists(st.sampled_from(["a", "dog", "barks", "rain", "Bell,"]), max_size=7).map(
    " ".join
)


@settings(deadline=None, max_examples=60)
@given(sentences, sentences)
def test_pieces_rebuild_both_texts_and_count_as_the_rate_does(said, heard):
    found = align(said, heard)
    assert " ".join(p.spoken for p in found.pieces if p.spoken) == normalise(said)
    assert " ".join(p.heard for p in found.pieces if p.heard) == normalise(heard)
    assert (found.errors, found.words) == word_errors(said, heard)


@pytest.mark.parametrize(
    ("said", "heard", "pieces"),
    [
        (
            "a dog barks",
            "a hog barks",
            [("equal", "a", "a"), ("substitute", "dog", "hog"), ("equal", "barks", "barks")],
        ),
        ("a dog barks", "a dog", [("equal", "a dog", "a dog"), ("delete", "barks", "")]),
        (
            "a dog",
            "a big dog",
            [("equal", "a", "a"), ("insert", "", "big"), ("equal", "dog", "dog")],
        ),
        ("A dog.", "", [("delete", "a dog", "")]),
        ("...", "a dog", [("insert", "", "a dog")]),
        ("", "", []),
    ],
)
def test_known_alignments(said, heard, pieces):
    assert [tuple(piece) for piece in align(said, heard).pieces] == pieces
