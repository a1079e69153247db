"""Training of the small DAC whose features the "DAC encoder" ablation hears instead of HuBERT's."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DacConfig, DacModel

from pocket.configs import CODEC
from pocket.training.corpus import Corpus
from pocket.training.loop import Recipe, Stage, fit
from systems.star.speech_encoder import CodecEncoder, build_speech_encoder

BATCH, CROP_SAMPLES = 12, 8_000
RESOLUTIONS = (128, 512, 1024)


class Codec(nn.Module):
    """The encoder of the ablation, with the decoder that it is trained through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder: CodecEncoder = build_speech_encoder(CODEC)
        strides = list(CODEC.codec_strides)
        whole = DacModel(
            DacConfig(
                encoder_hidden_size=CODEC.codec_base,
                decoder_hidden_size=8 * CODEC.codec_base,
                downsampling_ratios=strides,
                upsampling_ratios=strides[::-1],
                n_codebooks=CODEC.codec_books,
                sampling_rate=CODEC.codec_rate_hz,
            )
        )
        self.decoder = whole.decoder

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, N] to its reconstruction and the quantiser's own losses."""
        coded = self.encoder.model.encode(waveform)
        rebuilt = self.decoder(coded.quantized_representation).reshape(waveform.shape[0], 1, -1)
        return rebuilt[..., : waveform.shape[-1]], coded.loss.mean()


def train_codec(data: Corpus, work: Path, steps: int = 600) -> CodecEncoder:
    """A codec of spoken captions: multi-resolution spectral distance, waveform distance, codes."""
    torch.manual_seed(80)
    codec = Codec()

    def loss(rng: np.random.Generator) -> Tensor:
        speech = _excerpts(data, rng)
        rebuilt, codes = codec(speech)
        short = rebuilt.shape[-1]
        speech = speech[..., :short]
        spectral = sum(_spectral(rebuilt[:, 0], speech[:, 0], n) for n in RESOLUTIONS)
        return spectral + 5.0 * functional.l1_loss(rebuilt, speech) + codes

    recipe = Recipe(steps, 6e-4, warmup=100)
    return fit(Stage("codec", codec, recipe, work), loss, seed=8).encoder


def _excerpts(data: Corpus, rng: np.random.Generator) -> Tensor:
    """Half-second pieces of speech, [B, 1, N]."""
    pieces = []
    for index in rng.integers(len(data.utterances.marks), size=BATCH):
        speech = data.utterances[int(index)]
        start = int(rng.integers(0, len(speech) - CROP_SAMPLES))
        pieces.append(speech[start : start + CROP_SAMPLES])
    return torch.from_numpy(np.stack(pieces))[:, None]


def _spectral(rebuilt: Tensor, target: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft)
    one, other = (
        torch.stft(x, n_fft, n_fft // 4, window=window, return_complex=True).abs().clamp_min(1e-4)
        for x in (rebuilt, target)
    )
    return functional.l1_loss(one.log(), other.log())
