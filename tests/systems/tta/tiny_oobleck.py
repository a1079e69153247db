"""A tiny stereo autoencoder at 44.1 kHz: 2048 samples a latent frame, as published."""

from torch import Tensor

from stabench.systems.tta import oobleck
from tests.systems.tta.tiny_weights import draw, named

SETTINGS = {
    "encoder_hidden_size": 8,
    "downsampling_ratios": [2, 4, 4, 8, 8],
    "channel_multiples": [1, 1, 2, 2, 2],
    "decoder_channels": 4,
    "decoder_input_channels": 4,
    "audio_channels": 2,
    "sampling_rate": 44_100,
}
HOP = 2048


def tensors() -> dict[str, Tensor]:
    """Weights under the names of the published file."""
    return draw(named(oobleck.build(SETTINGS).state_dict()))
