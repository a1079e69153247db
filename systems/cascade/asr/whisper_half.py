"""Whisper's weights stored in the precision of the arithmetic, so that no call casts them."""

from typing import Any


def store(network: Any, dtype: Any) -> None:
    """Hold the weights of Linear, Conv1d and Embedding layers and the text positions in `dtype`.

    Layer norms stay float32, as openai-whisper computes them, and so does the encoder's table of
    sinusoids, which it adds once an utterance. The published files hold float16 (two bytes a
    parameter), so float16 loses nothing of them.
    """
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Embedding):
            module.to(dtype)
    positions = network.decoder.positional_embedding
    positions.data = positions.data.to(dtype)
