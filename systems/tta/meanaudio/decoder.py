"""From MeanAudio's latents to sound: the mel decoder of MMAudio at 16 kHz, then BigVGAN.

Classes of diffusers, with the settings of xiquan-li/MeanAudio (commit 8740a3e):
meanaudio/ext/autoencoder/vae.py (`VAE_16k`) and ext/bigvgan/bigvgan_vocoder.yml.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stabench.checkpoints.random_weights import hollow
from stabench.checkpoints.tensors import read_tensors
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.autoencoder import fuse

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioAutoencoder
    from diffusers.models.autoencoders.mmaudio_vocoder import MMAudioVocoder

RATE_HZ = 16_000
VAE: dict[str, Any] = {
    "mel_bins": 80,
    "latent_channels": 20,
    "hidden_channels": 384,
    "channel_multipliers": (1, 2, 4),
    "layers_per_block": 2,
}
VOCODER: dict[str, Any] = {
    "num_mels": 80,
    "upsample_initial_channel": 1536,
    "upsample_rates": (4, 4, 2, 2, 2, 2),
    "upsample_kernel_sizes": (8, 8, 4, 4, 4, 4),
    "resblock_kernel_sizes": (3, 7, 11),
    "resblock_dilation_sizes": ((1, 3, 5),) * 3,
}
# What keeps a weight of length 0 from a division by 0 (EDM2, arXiv 2312.02696, equation 66).
TINY_NORM = 1e-4


class TanhConv(nn.Conv1d):
    """A convolution under tanh, with which BigVGAN's first version ends."""

    def forward(self, sound: Tensor) -> Tensor:
        return super().forward(sound).tanh()


def build_vae(settings: Mapping[str, Any]) -> "MMAudioAutoencoder":
    """Return encoder and decoder of log-mel spectrograms; `decode` takes [B, C, T]."""
    from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioAutoencoder

    # Not by way of MMAudioVAE: its front end calls torch.linspace, which ends on the wrong device
    # once transformers has read a model in this process (it patches that function meanwhile).
    return MMAudioAutoencoder(**settings)


def build_vocoder(settings: Mapping[str, Any]) -> "MMAudioVocoder":
    """Return BigVGAN: mel [B, M, T] to sound [B, 1, N].

    diffusers has its second version, which ends in a convolution without bias and a clamp. With
    the first version's last layer in that place the clamp changes nothing.
    """
    from diffusers.models.autoencoders.mmaudio_vocoder import MMAudioVocoder

    vocoder = MMAudioVocoder(**settings)
    last = vocoder.conv_post
    vocoder.conv_post = TanhConv(last.in_channels, 1, last.kernel_size[0], padding=last.padding[0])
    return vocoder


def random_vae(seed: int, dtype: str) -> "MMAudioAutoencoder":
    """Return the decoder at full size, seeded."""
    return weights.drawn(_without_encoder(hollow(lambda: build_vae(VAE))), seed, dtype)


def random_vocoder(seed: int, dtype: str) -> "MMAudioVocoder":
    """Return BigVGAN at full size, seeded; its low-pass filters are the real ones."""
    return weights.drawn(hollow(lambda: build_vocoder(VOCODER)), seed, dtype)


def read_vae(path: Path) -> "MMAudioAutoencoder":
    """Read the decoder of `v1-16.pth`; the encoder's tensors are checked and left out.

    Widths are those of the file. Raises ValueError that names file and tensor.
    """
    state = {
        name: scale_to_unit(value) if name.endswith(".weight") else value
        for name, value in read_tensors(path).items()
    }
    hidden, mels = shape_of(state, "encoder.conv_in.weight", path)[:2]
    latents = shape_of(state, "decoder.conv_in.weight", path)[1]
    widths = {"mel_bins": mels, "latent_channels": latents, "hidden_channels": hidden}
    settings = VAE | widths
    return _without_encoder(weights.fill(weights.empty(lambda: build_vae(settings)), state, path))


def read_vocoder(path: Path) -> "MMAudioVocoder":
    """Read BigVGAN of `best_netG.pt`, weight norm multiplied out in either of its spellings.

    Widths are those of the file. Raises ValueError that names file and tensor.
    """
    state = fuse(
        {
            re.sub(r"\.parametrizations\.weight\.original([01])$", _spell_norm, name): value
            for name, value in read_tensors(path, part="generator").items()
        }
    )
    width, mels = shape_of(state, "conv_pre.weight", path)[:2]
    settings = VOCODER | {"num_mels": mels, "upsample_initial_channel": width}
    return weights.fill(weights.empty(lambda: build_vocoder(settings)), state, path)


def shape_of(state: Mapping[str, Tensor], name: str, path: Path) -> torch.Size:
    """Return a tensor's shape; ValueError names the file `path` where it is missing."""
    if name not in state:
        raise ValueError(f"{path}: {name!r} is missing; fetch the file again")
    return state[name].shape


def scale_to_unit(weight: Tensor) -> Tensor:
    """Return a kernel [O, I, K] whose rows have length 1, but for the little that guards zeros.

    The network is trained with weights of any length and computes with these: w / (e sqrt(n) +
    |w|), n = I K (EDM2, arXiv 2312.02696, equations 47 and 66).
    """
    lengths = weight.float().flatten(1).norm(dim=1)[:, None, None]
    return (weight / (TINY_NORM * weight[0].numel() ** 0.5 + lengths)).to(weight.dtype)


def _spell_norm(match: re.Match[str]) -> str:
    return f".weight_{'gv'[int(match[1])]}"


def _without_encoder(vae: "MMAudioAutoencoder") -> "MMAudioAutoencoder":
    del vae.encoder
    return vae
