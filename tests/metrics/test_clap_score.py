"""The CLAP score: cosine of paired rows, nothing clipped."""

import numpy as np
import pytest

from stabench.metrics.clap import clap_score


def test_known_angles():
    text = np.array([[1.0, 0], [1, 0], [3, 0], [1, 0]])
    audio = np.array([[2.0, 0], [0, 1], [5, 5], [-1, 0]])
    assert clap_score(text, audio) == pytest.approx([1, 0, np.sqrt(0.5), -1])


def test_rows_are_paired():
    rng = np.random.default_rng(0)
    text, audio = rng.standard_normal((2, 6, 16))
    matrix = text @ audio.T / np.outer(np.linalg.norm(text, axis=1), np.linalg.norm(audio, axis=1))
    assert clap_score(text, audio) == pytest.approx(np.diag(matrix))


@pytest.mark.parametrize(
    ("text", "audio", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 3)), "2 rows and audio embeddings 3"),
        (np.ones((2, 3)), np.ones((2, 4)), "3 columns and audio embeddings 4"),
        (np.ones((2, 3)), np.zeros((2, 3)), "audio embedding of row 0 is all zeros"),
    ],
)
def test_refusals(text, audio, message):
    with pytest.raises(ValueError, match=message):
        clap_score(text, audio)
