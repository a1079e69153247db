"""The pocket systems' own ceiling: a recording through their autoencoder and back."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from stabench.metrics.audio import Audio
from stabench.metrics.resample import resample
from stabench.pocket.configs import VAE, WEIGHTS

if TYPE_CHECKING:
    from stabench.systems.networks.vae import Vae


def autoencoded(audio: Audio) -> Audio:
    """Return what the VAE leaves of `audio`: no generator over its latents can sound better."""
    import torch

    samples = resample(audio.samples, audio.rate_hz, VAE.sample_rate_hz)
    vae = _load_vae()
    with torch.inference_mode():
        waveform = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None, None]
        rebuilt = vae.decode(vae.encode(waveform).mean)[0, 0]
    return Audio(rebuilt[: len(samples)].numpy(), VAE.sample_rate_hz)


@cache
def _load_vae() -> "Vae":
    from stabench.systems.networks.checkpoint import load_part
    from stabench.systems.networks.vae import build_vae

    vae = build_vae(VAE)
    load_part(WEIGHTS / "vae.safetensors", vae)
    vae.fuse()
    return vae.eval()
