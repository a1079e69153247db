"""Training of the spectrogram autoencoder, and the latents that the generators learn from."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stabench.metrics.embedders.mel import slaney_bank
from stabench.pocket.configs import VAE
from stabench.pocket.training.corpus import Corpus
from stabench.systems.networks.vae import SpectrogramVae, init_for_training
from stabench.systems.training.device import send
from stabench.systems.training.loop import Recipe, Stage, fit
from stabench.systems.training.workplace import Workplace

BATCH, CROP_FRAMES = 20, 128
KL_WEIGHT, MEL_WEIGHT = 3e-3, 1.0


def train_vae(data: Corpus, work: Workplace, steps: int = 3600) -> SpectrogramVae:
    torch.manual_seed(work.seeded(30))
    vae = SpectrogramVae(VAE)
    init_for_training(vae)
    mel = work.send(slaney_bank(16_000, VAE.n_fft, 64, 50, 8000))

    def loss(rng: np.random.Generator) -> Tensor:
        length = CROP_FRAMES * VAE.hop
        index = np.sort(rng.integers(len(data.audio), size=BATCH))
        starts = rng.integers(0, data.audio.shape[1] - length, size=BATCH)
        gains = 10 ** (rng.uniform(-9, 3, (BATCH, 1)) / 20)
        waveforms = data.excerpts(index, starts, length) * send(gains, data.device)
        features = vae.spectrogram(waveforms.float()[:, None])
        posterior = vae.posterior(features)
        noise = work.send(torch.randn(posterior.mean.shape))
        rebuilt = vae.expand(posterior.mean + posterior.std * noise)
        return (
            functional.l1_loss(rebuilt, features)
            # Without it the decoder gives the median of a noise's log-magnitude, which is 1.6 dB
            # under its mean energy.
            + MEL_WEIGHT
            * functional.l1_loss(_compute_logmel(rebuilt, mel), _compute_logmel(features, mel))
            + KL_WEIGHT * posterior.kl()
        )

    fit(Stage("vae", vae, Recipe(steps, 1.5e-3, ema=0.998), work), loss, seed=3)
    return vae


@torch.inference_mode()
def normalise_latents(vae: SpectrogramVae, means: np.ndarray) -> None:
    """Set the per-channel scale from training latents [N, C, T]."""
    some = torch.from_numpy(means[:: max(1, len(means) // 1000)].astype(np.float32))
    vae.latent_mean.copy_(some.mean((0, 2)))
    vae.latent_std.copy_(some.std((0, 2)))


@torch.inference_mode()
def encode(vae: SpectrogramVae, data: Corpus, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return posterior means and stds, float16 [N, C, T], of a split; kept in `path`."""
    if not path.exists():
        means, stds = [], []
        for start in range(0, len(data.audio), 50):
            index = np.arange(start, min(start + 50, len(data.audio)))
            posterior = vae.encode(data.clips(index)[:, None])
            means.append(posterior.mean.half().cpu().numpy())
            stds.append(posterior.std.half().cpu().numpy())
        # Renamed when it is whole: a file that is there is taken for finished.
        part = path.with_suffix(".part.npy")
        np.save(part, np.stack([np.concatenate(means), np.concatenate(stds)]))
        part.replace(path)
    both = np.load(path, mmap_mode="r")
    return both[0], both[1]


def _compute_logmel(features: Tensor, mel: Tensor) -> Tensor:
    """Turn scaled log-magnitudes [B, bins, F] into log band energies [B, F, mels], scaled alike."""
    logmag = features * VAE.log_spread + VAE.log_centre
    energy = (2 * logmag).exp().transpose(1, 2) @ mel
    return 0.5 * energy.clamp_min(1e-9).log() / VAE.log_spread
