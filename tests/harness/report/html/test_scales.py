"""Axes: round ticks, everything within, logarithmic when the range asks for it."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabench.harness.report.html.scatter import MOST_TICKS, fit_scale

sizes = st.floats(1e-6, 1e6)


@settings(deadline=None, max_examples=60)
@given(st.lists(sizes, min_size=1, max_size=9), st.booleans())
def test_every_value_lies_within_in_order_and_ticks_are_few(values, may_be_log):
    axis = fit_scale(values, may_be_log=may_be_log)
    shares = [axis.share(value) for value in sorted(values)]
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)
    ticks = axis.ticks()
    assert len(ticks) <= MOST_TICKS + 1
    assert all(a.share < b.share for a, b in pairwise(ticks))
    texts = [tick.text for tick in ticks]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("values", "log", "texts"),
    [
        ([250, 470], True, ["250", "300", "350", "400", "450"]),
        ([3.6, 225], True, ["5", "10", "20", "50", "100", "200"]),
        ([0.0, 1.0], False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([-0.06, 0.9], False, ["0.0", "0.2", "0.4", "0.6", "0.8"]),
        ([1.5, 3.2], False, ["1.5", "2.0", "2.5", "3.0"]),
    ],
)
def test_known_ticks(values, log, texts):
    assert [tick.text for tick in fit_scale(values, may_be_log=log).ticks()] == texts


def test_a_wide_range_is_logarithmic_and_a_zero_never():
    assert fit_scale([1, 10], may_be_log=True).log
    assert not fit_scale([1, 9], may_be_log=True).log
    assert not fit_scale([0, 10], may_be_log=True).log
    axis = fit_scale([1, 100], may_be_log=True)
    assert axis.share(10) == pytest.approx(0.5)


def test_a_tick_lies_where_its_value_does():
    axis = fit_scale([2, 8])
    assert all(axis.share(float(tick.text)) == pytest.approx(tick.share) for tick in axis.ticks())
