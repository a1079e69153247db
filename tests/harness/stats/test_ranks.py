"""Ranks: systems that intervals cannot tell apart share a place; others do not change sides."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabench.harness.stats.ranks import Ends, Rank, ranks

intervals = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(lambda ends: Ends(*sorted(ends))),
    min_size=1,
    max_size=12,
)


def test_apart_overlapping_and_a_chain():
    apart = [Ends(5, 6), Ends(1, 2), Ends(3, 4)]
    assert ranks(apart, "lower") == [Rank(3, 3), Rank(1, 1), Rank(2, 2)]
    assert ranks(apart, "higher") == [Rank(1, 1), Rank(3, 3), Rank(2, 2)]
    assert ranks([Ends(1, 3), Ends(2, 4)], "lower") == [Rank(1, 2), Rank(1, 2)]
    # the first and the last are told apart, the middle one from neither
    assert ranks([Ends(1, 3), Ends(2, 6), Ends(5, 7)], "lower") == [
        Rank(1, 2),
        Rank(1, 3),
        Rank(2, 3),
    ]


def test_ends_that_touch_are_not_told_apart():
    assert ranks([Ends(1, 2), Ends(2, 3)], "lower") == [Rank(1, 2), Rank(1, 2)]


def test_texts():
    assert [Rank(1, 1).text, Rank(1, 3).text] == ["1", "1\N{EN DASH}3"]
    assert ranks([], "lower") == []


@given(intervals, st.sampled_from(["lower", "higher"]))
def test_overlapping_intervals_share_a_place_and_others_keep_their_order(found, better):
    places = ranks(found, better)
    for a, one in zip(found, places, strict=True):
        assert 1 <= one.best <= one.worst <= len(found)
        for b, other in zip(found, places, strict=True):
            overlap = a.low <= b.high and b.low <= a.high
            if overlap:
                assert one.best <= other.worst
                assert other.best <= one.worst
            elif (a.high < b.low) == (better == "lower"):
                assert one.best <= other.best
                assert one.worst <= other.worst
                assert one.best < other.worst


@given(intervals)
def test_the_other_direction_is_the_mirror(found):
    mirrored = [Ends(-high, -low) for low, high in found]
    assert ranks(found, "lower") == ranks(mirrored, "higher")


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_number_without_spread_is_an_interval_too(better):
    assert ranks([Ends(1.0, 1.0), Ends(1.0, 1.0)], better) == [Rank(1, 2), Rank(1, 2)]
    assert math.isfinite(ranks([Ends(0.0, 0.0)], better)[0].best)
