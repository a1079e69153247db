"""A ratio of sums: its interval ends at the quantiles that the things drawn ask for."""

import numpy as np
import pytest

from stabench.harness.stats.bootstrap import Draws, ratio, tails


@pytest.mark.parametrize("units", [None, 4])
def test_a_ratio_s_interval_ends_at_expanded_quantiles(units: int | None) -> None:
    rng = np.random.default_rng(7)
    above, below = rng.uniform(1, 2, 12), rng.uniform(4, 9, 12)
    counts = Draws.of(12, replicates=500, seed=1).counts
    found = ratio(above, below, counts, units)
    ends = np.quantile((counts @ above) / (counts @ below), tails(units or 12))
    assert found.value == pytest.approx(above.sum() / below.sum())
    assert (found.low, found.high) == pytest.approx(tuple(ends))
    assert found.n == 12


def test_nothing_to_divide_by_is_no_ratio() -> None:
    found = ratio(np.ones(3), np.zeros(3), Draws.of(3, replicates=10).counts)
    assert found.value is None
    assert "denominator is 0" in found.reason
