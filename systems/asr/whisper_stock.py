"""Greedy decoding by openai-whisper's own code: the recogniser as it is shipped."""

from typing import Any, NamedTuple

import numpy as np


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


class Written(NamedTuple):
    """What was decoded: token ids without prompt and end mark, and their text, stripped."""

    tokens: list[int]
    text: str


class StockEngine:
    """The three steps as the package's read-me writes them: mel on the host, encode, decode.

    `forced` leaves the end mark out of what may be written, so that exactly `limit` tokens are.
    """

    def __init__(self, network: Any, dtype: Any, language: str, forced: bool) -> None:
        import torch
        from whisper.decoding import DecodingOptions

        # The end marks of the two vocabularies, which "-1" alone does not suppress.
        eot = 50257 if network.is_multilingual else 50256
        self.network, self.dtype = network, dtype
        self.options = DecodingOptions(
            language=language,
            temperature=0.0,
            without_timestamps=True,
            suppress_tokens=f"-1,{eot}" if forced else "-1",
            fp16=dtype == torch.float16,
        )

    def mel(self, samples: np.ndarray) -> Any:
        """Log-mel [1, M, 2 A] of float32 samples, padded with silence to the window."""
        import whisper

        dims = self.network.dims
        padded = whisper.pad_or_trim(samples, dims.n_audio_ctx * 2 * 160)
        mel = whisper.log_mel_spectrogram(padded, dims.n_mels)
        return mel[None].to(self.network.device)

    def encode(self, mel: Any) -> Any:
        """Features [1, A, W] in the precision of the arithmetic."""
        return self.network.embed_audio(mel.to(self.dtype))

    def decode(self, features: Any, limit: int) -> Written:
        """At most `limit` tokens. Waits for the device once a token, and a few times besides."""
        import whisper

        (result,) = whisper.decode(self.network, features, self.options, sample_len=limit)
        return Written(result.tokens, result.text)


def half(network: Any, dtype: Any, language: str, forced: bool) -> StockEngine:
    """The same on weights that are stored in float16."""
    import torch

    store(network, torch.float16)
    return StockEngine(network, dtype, language, forced)
