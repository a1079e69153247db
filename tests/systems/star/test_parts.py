"""The parts of a STAR: whole on random weights, with the values of a file, in half precision."""

import torch

from stabench.checkpoints.random_weights import allocate, hollow
from stabench.systems.star.parts import build_parts, cast
from stabench.systems.star.speech_encoder import build_speech_encoder


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
