"""A log-mel front end in the place of HuBERT's raw-waveform one (a declared deviation)."""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.systems.star.config import SpeechEncoderConfig

N_FFT = 512
# The smallest mel power told apart: under a -60 dBFS noise floor, above digital silence.
FLOOR = 1e-5
CONV_KERNEL = 3

SamplesT = TypeVar("SamplesT", int, Tensor)


def mel_filters(bins: int, rate_hz: int) -> Tensor:
    """Triangular HTK mel filters [N_FFT // 2 + 1, bins] from 0 to rate_hz / 2."""
    nyquist = torch.tensor(rate_hz / 2)
    top = 2595 * torch.log10(1 + nyquist / 700)
    edges = 700 * (10 ** (torch.linspace(0, float(top), bins + 2) / 2595) - 1)
    hertz = torch.linspace(0, rate_hz / 2, N_FFT // 2 + 1)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0)


class LogMelFrontEnd(nn.Module):
    """Waveform [B, N] to features [B, width, F]: log-mel, normalised per utterance, convolutions.

    Frames past an utterance's length are zeroed before each convolution, so that padding a batch
    changes no valid frame.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: SpeechEncoderConfig) -> None:
        super().__init__()
        self.window_samples, self.hop_samples = config.mel_window, config.mel_hop
        self.strides = config.mel_strides
        widths = [config.mel_bins, *[config.width] * len(self.strides)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, CONV_KERNEL, stride, padding=1)
            for (before, after), stride in zip(pairwise(widths), self.strides, strict=True)
        )
        # Not persistent: both follow from the config, so that no checkpoint has to hold them.
        window = torch.hann_window(config.mel_window)
        filters = mel_filters(config.mel_bins, config.speech_rate_hz)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def mel_frames(self, samples: SamplesT) -> SamplesT:
        """Number of mel frames of utterances with so many samples."""
        return (samples - self.window_samples) // self.hop_samples + 1

    def frames(self, samples: SamplesT) -> SamplesT:
        """Number of output frames of utterances with so many samples."""
        count = self.mel_frames(samples)
        for stride in self.strides:
            count = -(-count // stride)
        return count

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """`lengths` int [B] in samples."""
        count = self.mel_frames(lengths)
        features = self._log_mel(waveform)
        # Zero mean and unit variance per band over the valid frames [B, F, bins], zero beyond.
        valid = _mask(count, features.shape[1])[..., None].to(features.dtype)
        frames = valid.sum(1, keepdim=True)
        centred = (features - (features * valid).sum(1, keepdim=True) / frames) * valid
        deviation = (centred.square().sum(1, keepdim=True) / frames).sqrt()
        # The floor keeps a band of constant silence from being blown up to unit variance.
        features = centred / deviation.clamp_min(0.1)
        dtype = self.convolutions.get_parameter("0.weight").dtype
        features = features.to(dtype).transpose(1, 2)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            features = functional.gelu(convolution(features))
            # Rounded up, as a kernel of 3 with a padding of 1 does; biases past the end are zeroed.
            count = -(-count // stride)
            features = features * _mask(count, features.shape[-1])[:, None]
        return features

    def _log_mel(self, waveform: Tensor) -> Tensor:
        """[B, N] to float32 [B, F, bins]."""
        frames = waveform.float().unfold(-1, self.window_samples, self.hop_samples)
        power = torch.fft.rfft(frames * self.window.float(), n=N_FFT).abs().square()
        return (power @ self.filters.float()).clamp_min(FLOOR).log()


def _mask(count: Tensor, frames: int) -> Tensor:
    """Bool [B, frames], True in the first `count`."""
    return torch.arange(frames, device=count.device) < count[:, None]
