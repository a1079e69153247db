"""Windowed-sinc resampling inside the model, for the codec encoder that wants another rate."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# The width and the roll-off that torchaudio's resampler has by default.
ZERO_CROSSINGS = 6
ROLL_OFF = 0.99


def resample(waveform: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """[B, N] at `from_hz` to [B, ceil(N to_hz / from_hz)] at `to_hz`, Hann-windowed sinc."""
    if from_hz == to_hz:
        return waveform
    divisor = math.gcd(from_hz, to_hz)
    down, up = from_hz // divisor, to_hz // divisor
    cutoff = ROLL_OFF * min(down, up)
    reach = math.ceil(ZERO_CROSSINGS * down / cutoff)
    # One low-pass kernel [1, taps] for each of the `up` output samples that fall on a period of
    # `down` input samples, computed in float64 as torchaudio does.
    taps = torch.arange(-reach, reach + down, dtype=torch.float64, device=waveform.device) / down
    phases = torch.arange(up, dtype=torch.float64, device=waveform.device)[:, None] / up
    time = ((taps - phases) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2).square()
    kernels = (torch.sinc(time) * window * (cutoff / down))[:, None].float()
    padded = functional.pad(waveform.float(), (reach, reach + down))
    samples = functional.conv1d(padded[:, None], kernels, stride=down)
    length = math.ceil(waveform.shape[-1] * up / down)
    # [B, up, periods] to samples in the order of time.
    return samples.transpose(1, 2).flatten(1)[:, :length].to(waveform.dtype)
