"""EzAudio's networks: STAR's DiT and VAE from its checkpoints, or of its sizes and random."""

from pathlib import Path
from typing import NamedTuple

import torch

from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.networks.ezaudio_weights import (
    VAE_CONFIG,
    read_udit,
    read_vae,
    vae_config,
    vae_file,
)
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import WaveformVae
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.prompt import (
    FLAN_T5_LARGE,
    Reader,
    TokenizerFolder,
    random_reader,
    read_t5,
)

# The length that every text is padded to, as in the original; the padding is masked.
TOKENS = 100


class EzNetworks(NamedTuple):
    """What makes sound of a prompt."""

    udit: UDiT
    vae: WaveformVae

    def to(self, device: str, dtype: str) -> "EzNetworks":
        """Moved and cast, in place; the VAE's weight norms multiplied out."""
        self.vae.fuse()
        for network in self:
            network.to(device, getattr(torch, dtype))
        return self


def random_text(seed: int, dtype: str) -> Reader:
    """The full size, seeded."""
    return random_reader(FLAN_T5_LARGE, seed, dtype, TOKENS)


def random_sound(seed: int, dtype: str) -> EzNetworks:
    """EzAudio-L, seeded."""
    return EzNetworks(
        weights.drawn(weights.empty(lambda: UDiT(UDiTConfig())), seed, dtype),
        weights.drawn(weights.empty(lambda: WaveformVae(VaeConfig())), seed, dtype),
    )


def read(udit: Path, vae: Path, t5: Path) -> tuple[Reader, EzNetworks]:
    """The DiT of a file, the VAE of a folder with `ckpts/vae/{config.json,1m.pt}`, T5 and its
    tokenizer of a folder. ValueError names file and key."""
    reader = Reader(TokenizerFolder(t5, TOKENS), read_t5(t5))
    network = read_udit(udit).eval().requires_grad_(False)
    file = vae_file(vae)
    shape = vae_config(file.with_name(VAE_CONFIG))
    autoencoder = weights.empty(lambda: WaveformVae(shape))
    return reader, EzNetworks(network, weights.fill(autoencoder, read_vae(file, autoencoder), file))
