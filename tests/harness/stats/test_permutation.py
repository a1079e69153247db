"""The sign-flip test: by hand, against scipy, and uniform when nothing changed."""

import numpy as np
import pytest
from scipy import stats

from stabench.harness.stats import permutation
from stabench.harness.stats.permutation import sign_flip


def test_three_clips_by_hand() -> None:
    """1 + 2 + 3 = 6: of the 8 sums of +-1 +-2 +-3 only 6 and -6 are as far from 0."""
    assert sign_flip(np.array([1.0, 2.0, 3.0])).p_value == 2 / 8


def test_opposite_signs_by_hand() -> None:
    """1 + 2 - 1 = 2: the sums are 4, 2, 2, 0, 0, -2, -2, -4, and six are 2 or more from 0."""
    assert sign_flip(np.array([1.0, 2.0, -1.0])) == (6 / 8, 2 / 8)


@pytest.mark.parametrize("n", [5, 10, 13])
def test_few_clips_as_scipy(n: int) -> None:
    parts = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = stats.permutation_test(
        (parts,), lambda x, axis: np.sum(x, axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert sign_flip(parts).p_value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_many_clips_near_the_t_test_and_the_same_for_the_same_seed() -> None:
    parts = np.random.default_rng(1).normal(0.15, 1, 200)
    found = sign_flip(parts)
    assert found.p_value == pytest.approx(stats.ttest_1samp(parts, 0).pvalue, abs=0.01)
    assert found == sign_flip(parts)
    assert found != sign_flip(parts, seed=1)


def test_never_zero() -> None:
    assert sign_flip(np.full(100, 1.0)) == (1 / 10_001, 1 / 10_001)
    assert sign_flip(np.full(13, 1.0)).p_value == 2 / 2**13


def test_ties_count_as_extreme_whatever_the_rounding() -> None:
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 in binary; no change at all is p = 1."""
    assert (
        sign_flip(np.array([0.1, 0.2, 0.3])).p_value == sign_flip(np.array([0.3, 0.2, 0.1])).p_value
    )
    assert sign_flip(np.zeros(30)).p_value == 1
    assert sign_flip(np.zeros(5)).p_value == 1


@pytest.mark.parametrize("n", [9, 40])
def test_false_alarms_at_every_level_with_skewed_noise(n: int) -> None:
    """A difference of two exponentials is symmetric, and far from normal."""
    rng = np.random.default_rng(n)
    data = rng.exponential(size=(1500, n)) - rng.exponential(size=(1500, n))
    ps = np.array([sign_flip(parts, draws=499).p_value for parts in data])
    for level in (0.01, 0.05, 0.2):
        assert np.mean(ps <= level) <= level + 3 * np.sqrt(level * (1 - level) / 1500)
    assert np.mean(ps <= 0.2) > 0.16


def test_many_units_a_few_draws_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand clips need no gigabytes, and have the p-value that they have at once."""
    parts = np.random.default_rng(3).normal(0.1, 1, 300)
    whole = sign_flip(parts, draws=505)
    monkeypatch.setattr(permutation, "MOST_CELLS", 7 * 300)
    permutation._draw_signs.cache_clear()
    assert sign_flip(parts, draws=505) == whole, "505 draws are 72 times 7 and one more"
    assert 0.01 < whole.p_value < 0.9
    assert sign_flip(np.zeros(300), draws=505).p_value == 1, "every draw is counted"
