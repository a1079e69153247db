"""Random weights: no memory before they are drawn, the same whatever else is built."""

import pytest
import torch
from torch import nn

from systems.star.config import StarConfig
from systems.star.parts import build_parts, cast
from systems.star.random_weights import allocate, hollow, randomise
from systems.star.speech_encoder import build_speech_encoder
from systems.star.udit import UDiT


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
    one = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 9))), 0)
    two = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9))), 0)
    other = randomise(hollow(lambda: nn.Sequential(nn.Linear(9, 9))), 1)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, one[1].weight)
    assert not torch.equal(two[0].weight, other[0].weight)


def test_values_have_the_spread_of_torchs_own_initialisation():
    drawn = randomise(hollow(lambda: nn.Linear(400, 300)), 0)
    expected = nn.Linear(400, 300).weight.std().item()
    assert drawn.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert torch.equal(drawn.bias, torch.zeros(300))


def test_no_parameter_of_any_part_is_left_out(small_config):
    for part in build_parts(small_config, 0):
        for name, value in part.state_dict().items():
            assert value.device.type == "cpu", name
            assert value.isfinite().all(), name


def test_networks_with_room_take_the_values_of_a_file(small_config):
    full = build_speech_encoder(small_config.encoder)
    empty = allocate(hollow(lambda: build_speech_encoder(small_config.encoder)))
    empty.load_state_dict(full.state_dict())
    waveform = 0.1 * torch.randn(1, 4000)
    with torch.inference_mode():
        assert torch.equal(empty.eval()(waveform).frames, full.eval()(waveform).frames)


def test_half_precision_spares_buffers_and_what_asks_for_it(small_config):
    encoder = build_parts(small_config, 0).speech_encoder
    encoder.model.feature_projection.keeps_float32 = True
    cast(encoder, "cpu", torch.bfloat16)
    front_end = encoder.model.feature_extractor
    assert front_end.window.dtype == front_end.filters.dtype == torch.float32
    assert front_end.convolutions[0].weight.dtype == torch.bfloat16
    assert encoder.model.feature_projection.projection.weight.dtype == torch.float32
