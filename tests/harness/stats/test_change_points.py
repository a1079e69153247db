"""Change points: false alarms and power by simulation, exact small cases by enumeration."""

from itertools import permutations

import numpy as np
import pytest

from stabench.harness.stats.change_points import LEAST_SIDE, ChangePoint, change_points

RUNS = 30


def share_with_alarm(noise: np.ndarray) -> float:
    """Share of series [S, n] in which anything is found."""
    return float(np.mean([bool(change_points(one, seed=i)) for i, one in enumerate(noise)]))


@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "skewed"])
def test_stationary_noise_raises_a_false_alarm_in_at_most_one_series_of_twenty(kind):
    rng = np.random.default_rng(["normal", "heavy-tailed", "skewed"].index(kind))
    shape = (400, RUNS)
    noise = {
        "normal": lambda: rng.normal(10, 1, shape),
        "heavy-tailed": lambda: rng.standard_t(2, shape),
        "skewed": lambda: rng.lognormal(3, 0.8, shape),
    }[kind]()
    # 0.05 and 2.6 standard errors of 400 series
    assert share_with_alarm(noise) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("place", [6, 10, 15, 24])
def test_a_step_of_three_sigma_is_found_within_two_runs(place):
    rng = np.random.default_rng(place)
    hits = 0
    for series in range(200):
        values = rng.normal(0, 1, RUNS) + 3 * (np.arange(RUNS) >= place)
        found = change_points(values, seed=series)
        hits += any(abs(one.index - place) <= 2 for one in found)
    assert hits >= 0.9 * 200


def test_a_step_brings_few_others_with_it():
    rng = np.random.default_rng(7)
    series = rng.normal(0, 1, (400, RUNS)) + 5 * (np.arange(RUNS) >= 15)
    counts = [len(change_points(one, seed=i)) for i, one in enumerate(series)]
    assert min(counts) == 1
    # 0.05 and two standard errors; with halves at the whole level it is 0.10
    assert np.mean(np.array(counts) > 1) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_two_steps_are_both_found():
    rng = np.random.default_rng(3)
    level = np.repeat([0.0, 5.0, 1.0], 12)
    found = change_points(level + rng.normal(0, 0.5, 36))
    assert [one.index for one in found] == [12, 24]
    assert [round(one.before) for one in found] == [0, 5]
    assert found[-1].after == pytest.approx(1.0, abs=0.5)


def test_the_p_value_of_eight_runs_is_that_of_all_orders():
    values = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0)
    (found,) = change_points(values)
    assert (found.index, found.before, found.after) == (3, 1.0, 2.0)

    def largest(order: tuple[float, ...]) -> float:
        x = np.array(order)
        splits = range(LEAST_SIDE, len(x) - LEAST_SIDE + 1)
        gaps = [(x[:k].mean() - x[k:].mean()) ** 2 * k * (8 - k) for k in splits]
        return max(gaps)

    orders = list(permutations(values))
    exact = np.mean([largest(order) >= largest(values) - 1e-9 for order in orders[::7]])
    assert exact == pytest.approx(2 / 56, abs=0.005)
    assert found.p_value == pytest.approx(2 / 56, abs=0.02)


def test_a_new_level_of_a_metric_that_does_not_vary_is_found():
    values = [9.679512208247353] * 20 + [9.81] * 4
    assert change_points(values) == [
        ChangePoint(
            20, pytest.approx(values[0]), pytest.approx(9.81), pytest.approx(5e-4, abs=2e-3)
        )
    ]


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [0.0] * 30, [1.0] * 30, [1.0] * 15 + [1.0 + 1e-9] * 15, [1.0] * 4 + [9.0] * 3],
    ids=["none", "one", "zeros", "constant", "rounding", "too few"],
)
def test_nothing_is_found_where_nothing_can_be(values):
    assert change_points(values) == []


def test_the_same_seed_gives_the_same_answer_and_the_scale_does_not_matter():
    values = np.random.default_rng(5).normal(0, 1, RUNS) + 2 * (np.arange(RUNS) > 12)
    first = change_points(values, seed=4)
    assert change_points(values, seed=4) == first
    scaled = change_points(1e6 * values, seed=4)
    assert [(one.index, one.p_value) for one in scaled] == [(o.index, o.p_value) for o in first]


def test_a_value_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        change_points([1.0] * 10 + [float("nan")])
