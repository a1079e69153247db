"""A text tower that gives all texts nearly one vector is found, whatever vector that is."""

import numpy as np
import pytest

from stabench.metrics.text_tower import (
    LARGEST_COSINE,
    UNRELATED,
    explain_collapse,
    measure_likeness,
)

N, D = len(UNRELATED), 64
RNG = np.random.default_rng(0)
ONE = np.full((N, D), 0.3)
BROKEN = {
    "one vector": ONE,
    "one vector and a little noise": ONE + 1e-3 * RNG.standard_normal((N, D)),
    "as published: 0.9993": ONE + 0.008 * RNG.standard_normal((N, D)),
    "one direction, any length": ONE * RNG.uniform(0.1, 9.0, (N, 1)),
    "one line, either way": ONE * RNG.choice([-1.0, 1.0], (N, 1)),
    "zeros": np.zeros((N, D)),
    "not a number": np.full((N, D), np.nan),
    "infinity": np.full((N, D), np.inf),
    "all but one": np.concatenate([ONE[1:], RNG.standard_normal((1, D))]),
}
WHOLE = {
    "anywhere": RNG.standard_normal((N, D)),
    "anywhere, about a mean that all share": 0.5 * ONE + 0.3 * RNG.standard_normal((N, D)),
    "two captions alike": np.concatenate([ONE[:2], RNG.standard_normal((N - 2, D))]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_tells_no_texts_apart_is_broken(name):
    likeness = measure_likeness(BROKEN[name])
    assert LARGEST_COSINE <= likeness <= 1
    assert "text tower is broken" in explain_collapse(likeness)


@pytest.mark.parametrize("name", WHOLE)
def test_what_tells_them_apart_is_whole(name):
    assert explain_collapse(measure_likeness(WHOLE[name])) == ""


def test_one_text_says_nothing():
    with pytest.raises(ValueError, match="1 embeddings, expected at least 2"):
        measure_likeness(ONE[:1])
