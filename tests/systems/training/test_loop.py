"""The training loop: an interrupted stage ends exactly where an undisturbed one does."""

import numpy as np
import pytest
import torch
from torch import nn

from stabench.systems.training.loop import Recipe, Stage, fit, write
from stabench.systems.training.workplace import Workplace

CPU = torch.device("cpu")
RECIPE = Recipe(steps=12, rate=0.05, warmup=3, ema=0.9)


class Interrupted(Exception):
    """Stands for a kill."""


def train(work, steps_until_kill=None, scale=1.0):
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    done = 0

    def loss(rng):
        nonlocal done
        done += 1
        if done == steps_until_kill:
            raise Interrupted
        x = torch.from_numpy(rng.standard_normal((8, 3))).float()
        return (network(x) - x.sum(1, keepdim=True)).square().mean()

    return fit(Stage("toy", network, RECIPE, Workplace(work, CPU, scale)), loss), done


def test_resumed_equals_undisturbed(tmp_path, monkeypatch):
    undisturbed, _ = train(tmp_path / "one")
    monkeypatch.setattr("stabench.systems.training.loop.SAVE_EVERY_S", 0)
    with pytest.raises(Interrupted):
        train(tmp_path / "two", steps_until_kill=8)
    resumed, more = train(tmp_path / "two")
    assert more == 12 - 7
    assert torch.equal(resumed.weight, undisturbed.weight)


def test_finished_stage_is_loaded(tmp_path):
    first, _ = train(tmp_path)
    again, steps = train(tmp_path)
    assert steps == 0
    assert torch.equal(first.weight, again.weight)


def test_training_lowers_the_loss(tmp_path):
    network, _ = train(tmp_path)
    start = nn.Linear(3, 1)
    torch.manual_seed(0)
    start.reset_parameters()
    target = torch.ones(1, 3)
    assert (network.weight - target).norm() < (start.weight - target).norm()


def test_rate_rises_stays_and_falls():
    recipe = Recipe(steps=100, rate=1.0, warmup=10, decay=0.4)
    rates = np.array([recipe.rate_at(step) for step in range(100)])
    assert rates[0] == pytest.approx(0.1)
    assert (rates[10:60] == 1.0).all()
    assert (np.diff(rates[60:]) < 0).all()
    assert rates[-1] < 0.03


def test_scale_takes_a_share_of_the_steps(tmp_path):
    assert train(tmp_path, scale=0.5)[1] == 6
    recipe = Recipe(steps=100, rate=1.0, warmup=10).at(Workplace(tmp_path, CPU, 0.1))
    assert (recipe.steps, recipe.warmup, recipe.rate) == (10, 10, 1.0)


def test_a_stage_that_diverges_fails(tmp_path):
    network = nn.Linear(1, 1)
    stage = Stage("toy", network, RECIPE, Workplace(tmp_path, CPU))
    with pytest.raises(FloatingPointError, match="toy: the loss is nan"):
        fit(stage, lambda rng: network(torch.ones(1)).sum() * float("nan"))
    assert not stage.result.exists()


def test_files_hold_what_any_device_can_read(tmp_path):
    state = {"a": [torch.ones(2), 3], "b": {"c": torch.zeros(1)}, "d": None}
    write(state, tmp_path / "x.pt")
    again = torch.load(tmp_path / "x.pt", weights_only=True)
    assert torch.equal(again["a"][0], torch.ones(2))
    assert (again["a"][1], again["d"]) == (3, None)
    assert torch.equal(again["b"]["c"], torch.zeros(1))
