"""What a judge of sound must not be thrown off by, and what it must not take for events."""

import numpy as np
import torch
from torch import Tensor

from stabench.pocket.sounds.scene import CLIP_SAMPLES
from stabench.systems.networks.spectrogram import griffin_lim
from stabench.systems.training.device import send


def degrade(waveforms: Tensor, rng: np.random.Generator, clean: float = 0.0) -> Tensor:
    """Augment [B, N]: gain, equaliser, noise, and for some the loss of phase.

    The first share `clean` of the rows is left as it is. Runs where the waveforms are.
    """
    x = waveforms.clone()
    kept = round(clean * len(x))
    x[kept:] = _damage(x[kept:], rng)
    return x


def _damage(x: Tensor, rng: np.random.Generator) -> Tensor:
    gains = 10 ** (rng.uniform(-12, 6, len(x)) / 20)
    x = x * _send_floats(gains, x)[:, None]
    for row in range(len(x)):
        if rng.random() < 0.5:
            x[row] = _equalise(x[row], rng)
        if rng.random() < 0.3:
            spread = x[row].std() * 10 ** (-rng.uniform(15, 40) / 20)
            x[row] += spread * _send_floats(rng.standard_normal(x.shape[1]), x)
    vocoded = np.flatnonzero(rng.random(len(x)) < 0.35)
    if len(vocoded):
        rows = send(vocoded, x.device)
        x[rows] = vocode(x[rows], rng)
    return x


def vocode(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur the STFT magnitudes of [B, N] and rebuild by Griffin-Lim, as a codec would."""
    window = torch.hann_window(512, device=x.device)
    magnitude = torch.stft(x, 512, 160, window=window, return_complex=True)[..., :-1].abs()
    logmag = magnitude.clamp_min(1e-4).log()
    blur = _send_floats(rng.dirichlet((4.0, 1.0, 1.0), len(x)), x)
    near = 0.5 * (logmag.roll(1, -1) + logmag.roll(-1, -1))
    beside = 0.5 * (logmag.roll(1, -2) + logmag.roll(-1, -2))
    logmag = blur[:, :1, None] * logmag + blur[:, 1:2, None] * near + blur[:, 2:, None] * beside
    jitter = _send_floats(rng.standard_normal(logmag.shape), x) * rng.uniform(0, 0.35)
    rounds = int(rng.integers(2, 12))
    return griffin_lim((logmag + jitter).exp(), 512, 160, rounds, 0.9)


def negatives(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sounds without an event [count, N]: silence, and noise of every colour and level."""
    out = np.zeros((count, CLIP_SAMPLES), dtype=np.float32)
    for row in range(count):
        if rng.random() < 0.25:
            continue
        noise = torch.from_numpy(rng.standard_normal(CLIP_SAMPLES)).float()
        if rng.random() < 0.6:
            noise = _equalise(noise, rng)
        level = 10 ** (rng.uniform(-60, -6) / 20)
        out[row] = (noise / noise.std() * level).numpy()
    return out


def _equalise(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply a smooth random gain over frequency, within +-12 dB."""
    points = rng.uniform(-12, 12, 6)
    curve = np.interp(np.linspace(0, 5, x.shape[-1] // 2 + 1), np.arange(6), points)
    gain = _send_floats(10 ** (curve / 20), x)
    return torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])


def _send_floats(values: np.ndarray, like: Tensor) -> Tensor:
    """Return drawn values as float32 where `like` is."""
    return send(values.astype(np.float32), like.device)
