"""The rates of a training, step by step."""

import numpy as np
import pytest

from stabench.systems.training.loop import Recipe
from stabench.systems.training.schedules import Constant, Linear, Trapezoid


def rates(schedule, steps):
    recipe = Recipe(steps, 2.0, schedule)
    return np.array([recipe.rate_at(step) for step in range(steps)]) / 2


def test_trapezoid_rises_stays_and_falls():
    shares = rates(Trapezoid(warmup=10, decay=0.4), 100)
    assert shares[0] == pytest.approx(0.1)
    assert (shares[10:60] == 1.0).all()
    assert (np.diff(shares[60:]) < 0).all()
    assert shares[-1] < 0.03


def test_linear_falls_toward_its_horizon_wherever_training_ends():
    shares = rates(Linear(warmup=5, horizon=105), 55)
    assert shares[:5] == pytest.approx(np.arange(1, 6) / 5)
    assert shares[5:] == pytest.approx(1 - np.arange(50) / 100)
    assert rates(Linear(warmup=0, horizon=10), 12) == pytest.approx(
        np.maximum(0, 1 - np.arange(12) / 10)
    )


def test_constant_only_warms_up():
    assert rates(Constant(4), 7) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1])
    assert (rates(Constant(0), 3) == 1).all()
