"""EzAudio's networks: STAR's DiT and VAE from its checkpoints, or of its sizes and random."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.networks.ezaudio_weights import udit_from_ezaudio, vae_from_ezaudio
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
VAE_PREFIX = "autoencoder."


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
    state = read_tensors(udit, part="model")
    try:
        tensors = udit_from_ezaudio(state)
        config = udit_config(tensors)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{udit}: no EzAudio DiT ({error}); fetch the file again") from error
    network = weights.fill(weights.empty(lambda: UDiT(config)), tensors, udit)
    return reader, EzNetworks(network, _read_vae(vae))


def udit_config(state: Mapping[str, Tensor]) -> UDiTConfig:
    """The shape of a DiT (STAR's names, input folded) as its tensors tell it.

    The scale of the low-rank modulation is no tensor; as published, alpha is the rank.
    """
    width, channels = state["patch_embed.proj.weight"].shape[:2]
    # AdaLN keeps six vectors a block (shift, scale, gate, twice), each of this rank.
    rank = state["in_blocks.0.adaln.lora_a.weight"].shape[0] // 6
    blocks = {match[1] for key in state if (match := re.match(r"in_blocks\.(\d+)\.", key))}
    return UDiTConfig(
        in_channels=channels,
        width=width,
        heads=width // state["in_blocks.0.attn.norm_q.weight"].shape[0],
        depth=2 * len(blocks),
        mlp_ratio=state["in_blocks.0.mlp.net.2.weight"].shape[1] // width,
        lora_rank=rank,
        lora_alpha=rank,
        context_width=state["context_embed.0.weight"].shape[1],
    )


def vae_config(path: Path) -> VaeConfig:
    """The VAE that a published config.json describes. ValueError names file and key."""
    table = read_json(path)
    decoder = weights.section(path, table, "model", "decoder", "config")
    return VaeConfig(
        sample_rate_hz=weights.section(path, table, "sample_rate"),
        latent_channels=weights.section(path, table, "model", "latent_dim"),
        ratios=tuple(weights.section(path, decoder, "strides")),
        multiples=tuple(weights.section(path, decoder, "c_mults")),
        base=weights.section(path, decoder, "channels"),
    )


def _read_vae(folder: Path) -> WaveformVae:
    """The VAE's own tensors; what its training kept beside them (discriminators) is left alone."""
    path, config = folder / "ckpts/vae/1m.pt", vae_config(folder / "ckpts/vae/config.json")
    state: dict[str, Any] = read_tensors(path, part="state_dict")
    tensors = {key: value for key, value in state.items() if key.startswith(VAE_PREFIX)}
    try:
        renamed = vae_from_ezaudio(tensors)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path}: a tensor of no known layer ({error}); fetch it again") from error
    network = weights.empty(lambda: WaveformVae(config))
    # EzAudio's DiT works on the VAE's latents as they are, unlike a trained STAR's.
    identity = {
        "latent_mean": torch.zeros(config.latent_channels),
        "latent_std": torch.ones(config.latent_channels),
    }
    return weights.fill(network, renamed | identity, path)
