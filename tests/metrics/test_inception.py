"""The inception score against other projects, and its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.metrics.inception import inception_score, inception_statistic

# audioldm_eval.<key>.seed2020; av_bench.splits10.shuffleTrue returns the first too
PEERS = {
    "splits10.shuffleTrue": (10, True, 3.9625361262789567, 0.3281210816662033),
    "splits10.shuffleFalse": (10, False, 3.902613468602689, 0.2701590641445008),
    "splits1.shuffleTrue": (1, True, 9.94382443857617, 0.0),
    "splits1.shuffleFalse": (1, False, 9.94382443857617, 0.0),
}
FIRST_10_OF_63 = [12, 53, 37, 23, 13, 36, 57, 25, 18, 42]


@pytest.mark.parametrize(("splits", "shuffle", "mean", "std"), PEERS.values(), ids=PEERS)
def test_peers(parity, splits, shuffle, mean, std):
    score = inception_score(parity("logits527")["gen"], splits=splits, shuffle=shuffle)
    assert score.mean == pytest.approx(mean, rel=1e-9)
    assert score.std == pytest.approx(std, rel=1e-9, abs=1e-12)


def test_the_permutation_is_the_one_of_others(parity):
    """The first split of ten holds rows 12, 53, 37, ...: its score is that of these rows alone."""
    gen = parity("logits527")["gen"]
    first = inception_score(gen[FIRST_10_OF_63[:6]], splits=1, shuffle=False).mean
    rest = np.random.RandomState(2020).permutation(63)
    assert rest[:10].tolist() == FIRST_10_OF_63
    others = [
        inception_score(gen[rest[i * 63 // 10 : (i + 1) * 63 // 10]], 1, shuffle=False).mean
        for i in range(1, 10)
    ]
    assert inception_score(gen).mean == pytest.approx(np.mean([first, *others]), rel=1e-12)


def test_influence_is_what_the_score_of_a_split_loses_without_the_row(parity):
    logits = parity("logits527")["gen"][:12]
    found = inception_statistic(logits, splits=1)
    assert found.value == pytest.approx(inception_score(logits, 1).mean, rel=1e-12)
    lost = [
        11 * (found.value - inception_score(np.delete(logits, row, axis=0), 1).mean)
        for row in range(12)
    ]
    assert found.gen == pytest.approx(lost - np.mean(lost), rel=1e-9)


def test_another_seed_gives_another_value(parity):
    gen = parity("logits527")["gen"]
    assert inception_score(gen, seed=1).mean != inception_score(gen).mean


def test_certain_and_varied_reaches_the_number_of_classes():
    logits = 200 * np.eye(8)[np.arange(80) % 8]
    assert inception_score(logits, splits=10, shuffle=False).mean == pytest.approx(8)


def test_one_answer_for_all_is_worth_one():
    assert inception_score(np.tile([3.0, 1, 0], (30, 1))).mean == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 60), st.integers(2, 12), st.floats(0, 900))
def test_bounds(seed, clips, classes, scale):
    logits = scale * np.random.default_rng(seed).standard_normal((clips, classes))
    largest = min(classes, -(-clips // 10))
    assert 1 - 1e-9 <= inception_score(logits).mean <= largest + 1e-9


@pytest.mark.parametrize("splits", [0, 10])
def test_more_splits_than_rows(splits):
    with pytest.raises(ValueError, match=f"{splits} splits of 9 rows, expected 1 to 9"):
        inception_score(np.ones((9, 3)), splits=splits)
