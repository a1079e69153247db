"""The training loop: an interrupted stage ends exactly where an undisturbed one does."""

import pytest
import torch
from torch import nn

from stabench.systems.training.log import read_log
from stabench.systems.training.loop import Recipe, Stage, Validation, fit
from stabench.systems.training.schedules import Trapezoid
from stabench.systems.training.states import write
from stabench.systems.training.workplace import Workplace

CPU = torch.device("cpu")
RECIPE = Recipe(steps=12, rate=0.05, schedule=Trapezoid(3), ema=0.9)


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


def test_scale_takes_a_share_of_the_steps(tmp_path):
    assert train(tmp_path, scale=0.5)[1] == 6
    recipe = Recipe(steps=100, rate=1.0, schedule=Trapezoid(10)).at(Workplace(tmp_path, CPU, 0.1))
    assert recipe == Recipe(steps=10, rate=1.0, schedule=Trapezoid(10))


def test_a_stage_that_diverges_fails(tmp_path):
    network = nn.Linear(1, 1)
    stage = Stage("toy", network, RECIPE, Workplace(tmp_path, CPU))
    with pytest.raises(FloatingPointError, match="toy: the loss is nan"):
        fit(stage, lambda rng: network(torch.ones(1)).sum() * float("nan"))
    assert not stage.result.exists()


def validated(work, scores, better="lower", kill_at=None, **options):
    """Train the toy with a validation after every second step that gives `scores` in turn; return
    the network, and its weight at each validation."""
    torch.manual_seed(0)
    network, weights, steps = nn.Linear(3, 1), {}, 0

    def loss(rng):
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Interrupted
        x = torch.from_numpy(rng.standard_normal((8, 3))).float()
        return (network(x) - x.sum(1, keepdim=True)).square().mean()

    def score(net, step):
        assert not net.training
        assert not torch.is_grad_enabled()
        weights[step] = net.weight.detach().clone()
        return scores[step // 2 - 1]

    stage = Stage("toy", network, RECIPE, Workplace(work, CPU))
    return fit(stage, loss, 0, Validation(2, score, better, **options)), weights


def test_the_best_validation_decides_which_averaged_weights_are_kept(tmp_path):
    plain, _ = train(tmp_path / "plain")
    network, weights = validated(tmp_path / "low", [3.0, 1.0, 2.0, 1.0, 4.0, 5.0])
    assert list(weights) == [2, 4, 6, 8, 10, 12]
    assert torch.equal(network.weight, weights[4])
    # Validation takes nothing away from training: it ends where training without one does.
    assert torch.equal(weights[12], plain.weight)
    stored = torch.load(tmp_path / "low" / "seed0" / "toy.pt", weights_only=True)
    assert torch.equal(stored["weight"], weights[4])
    network, weights = validated(tmp_path / "high", [3.0, 1.0, 2.0, 1.0, 4.0, 5.0], "higher")
    assert torch.equal(network.weight, weights[12])


def test_training_stops_when_no_validation_is_better_for_long(tmp_path):
    network, weights = validated(tmp_path, [3.0, 2.0, 2.0, 2.5, 1.0, 0.0], patience=2)
    assert list(weights) == [2, 4, 6, 8]
    assert torch.equal(network.weight, weights[4])
    log = read_log(tmp_path / "seed0" / "toy.log.jsonl")
    scores = [(line["step"], line["validation"]) for line in log if "validation" in line]
    assert scores == [(2, 3.0), (4, 2.0), (6, 2.0), (8, 2.5)]


def test_a_resumed_training_knows_its_best_validation_and_its_patience(tmp_path, monkeypatch):
    scores = [3.0, 1.0, 2.0, 2.0, 2.0, 0.0]
    undisturbed, _ = validated(tmp_path / "one", scores, patience=3)
    monkeypatch.setattr("stabench.systems.training.loop.SAVE_EVERY_S", -1)
    with pytest.raises(Interrupted):
        validated(tmp_path / "two", scores, patience=3, kill_at=8)
    resumed, weights = validated(tmp_path / "two", scores, patience=3)
    assert list(weights) == [8, 10]
    assert torch.equal(resumed.weight, undisturbed.weight)
    logs = [read_log(tmp_path / name / "seed0" / "toy.log.jsonl") for name in ("one", "two")]
    assert logs[0] == logs[1]


def test_a_score_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(FloatingPointError, match="the validation score is nan after step 4"):
        validated(tmp_path, [1.0, float("nan")])


def test_files_hold_what_any_device_can_read(tmp_path):
    state = {"a": [torch.ones(2), 3], "b": {"c": torch.zeros(1)}, "d": None}
    write(state, tmp_path / "x.pt")
    again = torch.load(tmp_path / "x.pt", weights_only=True)
    assert torch.equal(again["a"][0], torch.ones(2))
    assert (again["a"][1], again["d"]) == (3, None)
    assert torch.equal(again["b"]["c"], torch.zeros(1))
