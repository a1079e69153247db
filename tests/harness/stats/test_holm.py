"""Holm's adjustment: by hand, against its definition, and its promise by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabench.harness.stats.permutation import adjusted


def test_four_by_hand() -> None:
    """0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, 0.04 x 1 = 0.04 raised to 0.06."""
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_three_by_hand() -> None:
    """0.01 x 3 = 0.03, 0.02 x 2 = 0.04, 0.2 x 1 = 0.2."""
    assert adjusted([0.2, 0.01, 0.02]) == pytest.approx([0.2, 0.03, 0.04])


def test_none_one_and_the_cap() -> None:
    assert adjusted([]) == []
    assert adjusted([0.3]) == [0.3]
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_adjusted_p_at_most_alpha_where_the_step_down_rejects(ps: list[float]) -> None:
    """Holm's own words: go through the p in order while p(k) <= alpha / (m - k + 1)."""
    alpha = 0.05
    rejected, order = set(), sorted(range(len(ps)), key=ps.__getitem__)
    for k, index in enumerate(order):
        if ps[index] * (len(ps) - k) > alpha:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(adjusted(ps)) if p <= alpha} == rejected


def test_any_false_call_at_most_one_time_in_twenty_with_real_effects_beside() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        nulls = rng.random(6)
        found = adjusted([*nulls, 1e-6, 1e-5, 1e-4])
        wrong += min(found[:6]) <= 0.05
    assert 0.03 < wrong / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
