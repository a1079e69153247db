"""Log-magnitude STFT frames, and a waveform from magnitudes alone (fast Griffin-Lim)."""

import math

import torch
from torch import Tensor

FLOOR = 1e-4
"""Smallest magnitude told apart: about -120 dB under a full-scale tone at n_fft 512."""


def log_magnitude(waveform: Tensor, n_fft: int, hop: int) -> Tensor:
    """[B, N] to log(max(|X|, 1e-4)), [B, n_fft // 2 + 1, ceil(N / hop)], periodic Hann window.

    Frame i is centred on sample i * hop (reflection at the edges). The tail is zero-padded to a
    whole hop and the frame centred past the end is dropped: N = hop F samples give F frames.
    """
    padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % hop))
    return _stft(padded, n_fft, hop)[..., :-1].abs().clamp_min(FLOOR).log()


def griffin_lim(
    magnitude: Tensor,
    n_fft: int,
    hop: int,
    iterations: int,
    momentum: float,
    softening: float = 0.0,
) -> Tensor:
    """Waveform [B, hop F] whose STFT magnitudes approach `magnitude` [B, bins, F].

    Griffin and Lim 1984, accelerated as in Perraudin et al. 2013. The starting phase is a fixed
    pseudo-random one, so that equal magnitudes give equal waveforms. An estimate that is weaker
    than `softening` times its magnitude has noise for a phase, and is not blown up to full size:
    rounding would decide it, and a batch would not sound like its clips alone (use it without
    momentum).
    """
    frames = magnitude.shape[-1]
    # The frame dropped by log_magnitude comes back as a copy of the last one.
    magnitude = torch.cat([magnitude, magnitude[..., -1:]], dim=-1)
    phase = _starting_phase(magnitude)
    previous = torch.zeros_like(phase)
    soft = softening * magnitude + 1e-12
    gain = math.hypot(1.0, softening)  # an estimate as strong as wanted stays as it is
    for _ in range(iterations):
        rebuilt = _stft(_istft(magnitude * phase, n_fft, hop, hop * frames), n_fft, hop)
        ahead = rebuilt - previous * (momentum / (1 + momentum))
        phase = ahead * gain / torch.hypot(ahead.abs(), soft)
        previous = rebuilt
    return _istft(magnitude * phase, n_fft, hop, hop * frames)


def _starting_phase(magnitude: Tensor) -> Tensor:
    """Unit phasors [1, bins, F + 1], the same on every device and for every batch."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.rand(magnitude.shape[-2:], generator=generator) * (2 * torch.pi)
    return torch.polar(torch.ones_like(angle), angle)[None].to(magnitude.device)


def _stft(waveform: Tensor, n_fft: int, hop: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveform.device)
    return torch.stft(waveform, n_fft, hop, window=window, center=True, return_complex=True)


def _istft(spectrum: Tensor, n_fft: int, hop: int, length: int) -> Tensor:
    window = torch.hann_window(n_fft, device=spectrum.device)
    return torch.istft(spectrum, n_fft, hop, window=window, center=True, length=length)
