"""Random weights: no memory before they are drawn, the same whatever else is built."""

from zlib import crc32

import pytest
import torch
from torch import nn

from stabench.checkpoints.random_weights import (
    Draws,
    as_torch,
    hollow,
    name_then_seed,
    name_with_seed,
    randomise,
    seed_then_name,
)
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.config import StarConfig


def test_a_hollow_network_takes_no_memory_and_no_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    udit = hollow(lambda: UDiT(StarConfig().udit))
    assert torch.equal(torch.rand(1), expected)
    real = [value for value in udit.parameters() if not value.is_meta]
    assert sum(value.numel() for value in udit.parameters()) == 596_697_856
    assert sum(value.numel() for value in real) < 200_000  # the zeros of AdaLN's tables
    assert not any(value.is_meta for value in udit.buffers())


def test_every_tensor_has_a_generator_of_its_own():
    one = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 9))), as_torch(0))
    two = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9))), as_torch(0))
    other = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9))), as_torch(1))
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, one[1].weight)
    assert not torch.equal(two[0].weight, other[0].weight)


def test_values_have_the_spread_of_torchs_own_initialisation():
    drawn = randomise(hollow(lambda: nn.Linear(400, 300)), as_torch(0))
    expected = nn.Linear(400, 300).weight.std().item()
    assert drawn.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert torch.equal(drawn.bias, torch.zeros(300))


def seeded(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_value_follows_from_name_shape_and_seed():
    """Runs of other days must be on the same weights."""
    value = as_torch(7, "part.")("layer.weight", (40, 50))
    expected = seeded(crc32(b"part.layer.weight.7"), 40, 50) * 150**-0.5
    torch.testing.assert_close(value, expected)
    value = Draws(7, "part.")("layer.weight", (40, 5, 10))
    expected = seeded(crc32(b"part.layer.weight.7"), 40, 5, 10) * 50**-0.5
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    ("scheme", "number"),
    [
        (name_then_seed, crc32(b"part.layer.weight.7")),
        (seed_then_name, crc32(b"7 part.layer.weight")),
        (name_with_seed, crc32(b"part.layer.weight") ^ 7),
    ],
)
def test_each_scheme_of_stored_runs_gives_its_values(scheme, number):
    value = Draws(7, "part.", seed_of=scheme)("layer.weight", (40, 50))
    torch.testing.assert_close(value, seeded(number, 40, 50) * 50**-0.5)


def test_some_names_have_a_spread_of_their_own():
    draws = Draws(7, deviations={"embedding": 0.02})
    table, matrix = draws("token_embedding.weight", (40, 50)), draws("mlp.weight", (40, 50))
    torch.testing.assert_close(table, seeded(crc32(b"token_embedding.weight.7"), 40, 50) * 0.02)
    torch.testing.assert_close(matrix, seeded(crc32(b"mlp.weight.7"), 40, 50) * 50**-0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.bias", 0),
        ("a.weight", 1),
        ("a.alpha", 1),
        ("a.weight_g", 3**-0.5),
        ("original0", 3**-0.5),
    ],
)
def test_vectors_are_constants(name, value):
    assert torch.equal(as_torch(0)(name, (6,)), torch.full((6,), float(value)))
    if not name.endswith(".weight"):
        assert torch.equal(as_torch(0)(name, (1, 6, 1)), torch.full((1, 6, 1), float(value)))


def test_only_what_has_no_value_gets_one_unless_every_parameter_is_asked_for():
    class Layer(nn.Linear):
        def __init__(self):
            super().__init__(8, 8)
            self.table = nn.Parameter(torch.zeros(8, 8), requires_grad=False)
            self.register_buffer("steps", torch.arange(8.0))

    kept = randomise(hollow(Layer), as_torch(0))
    assert not kept.table.any()
    assert torch.equal(kept.steps, torch.arange(8.0))
    drawn = randomise(hollow(Layer), as_torch(0), every=True)
    assert drawn.table.all()
    assert torch.equal(drawn.steps, torch.arange(8.0))
    assert torch.equal(drawn.weight, kept.weight)
    assert (drawn.weight.requires_grad, drawn.table.requires_grad) == (True, False)
    with torch.device("meta"):
        whole = Layer()
    assert torch.equal(randomise(whole, as_torch(0)).steps, torch.ones(8))
