"""Windowed-sinc resampling inside the model, for the codec encoder that wants another rate."""

import math

import torch
from torch import Tensor
from torch.nn import functional

ZERO_CROSSINGS = 6
ROLL_OFF = 0.99


def resample(waveform: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """[B, N] at `from_hz` to [B, ceil(N to_hz / from_hz)] at `to_hz`, Hann-windowed sinc."""
    if from_hz == to_hz:
        return waveform
    divisor = math.gcd(from_hz, to_hz)
    down, up = from_hz // divisor, to_hz // divisor
    kernels, reach = _kernels(down, up, waveform.device)
    padded = functional.pad(waveform.float(), (reach, reach + down))
    phases = functional.conv1d(padded[:, None], kernels, stride=down)
    length = math.ceil(waveform.shape[-1] * up / down)
    return phases.transpose(1, 2).flatten(1)[:, :length].to(waveform.dtype)


def _kernels(down: int, up: int, device: torch.device) -> tuple[Tensor, int]:
    """One low-pass kernel per output phase, [up, 1, taps], and its reach in input samples."""
    cutoff = ROLL_OFF * min(down, up)
    reach = math.ceil(ZERO_CROSSINGS * down / cutoff)
    taps = torch.arange(-reach, reach + down, dtype=torch.float64, device=device) / down
    phases = torch.arange(up, dtype=torch.float64, device=device)[:, None] / up
    time = ((taps - phases) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2).square()
    return (torch.sinc(time) * window * (cutoff / down))[:, None].float(), reach
