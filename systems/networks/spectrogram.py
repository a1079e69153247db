"""Log-magnitude STFT frames, and a waveform from magnitudes alone (fast Griffin-Lim)."""

import functools
import math

import torch
from torch import Tensor

# The smallest magnitude told apart: about -120 dB under a full-scale tone at n_fft 512.
FLOOR = 1e-4


def log_magnitude(waveform: Tensor, n_fft: int, hop: int) -> Tensor:
    """[B, N] to log(max(|X|, 1e-4)), [B, n_fft // 2 + 1, ceil(N / hop)], periodic Hann window.

    Frame i is centred on sample i * hop (reflection at the edges). The tail is zero-padded to a
    whole hop and the frame centred past the end is dropped: N = hop F samples give F frames.
    """
    padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % hop))
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=True, return_complex=True)
    return spectrum[..., :-1].abs().clamp_min(FLOOR).log()


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
    # The frame dropped by log_magnitude comes back as a copy of the last one.
    magnitude = torch.cat([magnitude, magnitude[..., -1:]], dim=-1).transpose(1, 2).contiguous()
    frames, bins = magnitude.shape[1:]
    transform = _Transform(n_fft, hop, frames, magnitude.device)
    # An estimate that is as strong as wanted, |ahead| = magnitude, stays as it is:
    # sqrt(magnitude^2 + floor) is then the magnitude times hypot(1, softening).
    target = magnitude * math.hypot(1.0, softening)
    # 1e-12 keeps a silent bin from a division by zero.
    floor = (softening * magnitude + 1e-12).square()
    spectrum = magnitude * _starting_phase(frames, bins, magnitude.device)
    previous: Tensor | None = None
    for _ in range(iterations):
        rebuilt = ahead = transform.forward(transform.inverse(spectrum))
        if momentum and previous is not None:
            # c + m (c - c') of Perraudin et al., over 1 + m: the magnitude is replaced anyway.
            ahead = rebuilt - previous * (momentum / (1 + momentum))
        squares = torch.view_as_real(ahead).square()
        power = squares[..., 0] + squares[..., 1]
        spectrum = ahead * (target / power.add_(floor).sqrt_())
        previous = rebuilt
    return transform.inverse(spectrum)


class _Transform:
    """The pair of STFTs between `frames` spectra [B, F, bins] and hop (F - 1) samples [B, N].

    They are torch.stft and torch.istft (periodic Hann window, centred, reflected at the edges) in
    less time: spectra stay in the order of the FFT, and what two calls share is kept.
    """

    def __init__(self, n_fft: int, hop: int, frames: int, device: torch.device) -> None:
        self.n_fft, self.hop = n_fft, hop
        self.inside = slice(n_fft // 2, n_fft // 2 + hop * (frames - 1))
        self.window = torch.hann_window(n_fft, device=device)
        # The closest waveform is the sum of windowed pieces over the sum of squared windows.
        envelope = self._overlap_add(self.window.square().expand(1, frames, -1))
        self.scale = envelope[:, self.inside].reciprocal()

    def forward(self, waveform: Tensor) -> Tensor:
        """Complex [B, F, n_fft // 2 + 1]."""
        edge = self.n_fft // 2
        before, after = waveform[:, 1 : edge + 1], waveform[:, -edge - 1 : -1]
        padded = torch.cat([before.flip(-1), waveform, after.flip(-1)], dim=-1)
        return torch.fft.rfft(padded.unfold(-1, self.n_fft, self.hop) * self.window)

    def inverse(self, spectrum: Tensor) -> Tensor:
        """The waveform whose STFT is closest to `spectrum`."""
        pieces = torch.fft.irfft(spectrum, n=self.n_fft).mul_(self.window)
        return self._overlap_add(pieces)[:, self.inside] * self.scale

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        """Pieces [B, F, n_fft], each `hop` after the last, to their sum [B, N]: one addition for
        each hop that a piece covers."""
        batch, frames, _ = pieces.shape
        parts = pieces.split(self.hop, dim=-1)
        total = pieces.new_zeros(batch, frames + len(parts) - 1, self.hop)
        for late, part in enumerate(parts):
            total[:, late : late + frames, : part.shape[-1]] += part
        return total.flatten(1)


# A tensor of inference mode that is kept could not be used in training later.
@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _starting_phase(frames: int, bins: int, device: torch.device) -> Tensor:
    """Unit phasors [F, bins], the same on every device and for every batch."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.rand(bins, frames, generator=generator) * (2 * torch.pi)
    return torch.polar(torch.ones_like(angle), angle).T.contiguous().to(device)
