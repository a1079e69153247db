"""MeanAudio's networks: from the published files, or of their sizes and random."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from stabench.checkpoints.random_weights import hollow
from stabench.checkpoints.tensors import read_tensors
from stabench.systems.tta.audioldm2.random import StandInTokenizer
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.prompt import FLAN_T5_LARGE, random_reader
from stabench.systems.tta.meanaudio import decoder
from stabench.systems.tta.meanaudio.decoder import shape_of
from stabench.systems.tta.meanaudio.prompt import (
    CLAP_TEXT,
    TOKENS,
    TextReaders,
    build_clap_text,
    read_text,
)
from stabench.systems.tta.meanaudio.transformer import FluxConfig, MeanFlowTransformer

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioAutoencoder
    from diffusers.models.autoencoders.mmaudio_vocoder import MMAudioVocoder

# meanaudio_s and meanaudio_l of the original's networks.py.
SIZES = {"s": FluxConfig(heads=7), "l": FluxConfig(heads=14)}
VAE_FILE, VOCODER_FILE = "v1-16.pth", "best_netG.pt"
# Training may leave its average's prefix, tables that the network computes, and a version.
AVERAGED = "ema_model."
DERIVED = ("t_embed.freqs", "r_embed.freqs", "latent_rot", "text_rot", "_extra_state")


class SoundNetworks(NamedTuple):
    """What makes sound of a prompt."""

    transformer: MeanFlowTransformer
    vae: "MMAudioAutoencoder"
    vocoder: "MMAudioVocoder"

    def to(self, device: str, dtype: str) -> "SoundNetworks":
        """Move and cast, in place."""
        for network in self:
            nn.Module.to(network, device, getattr(torch, dtype))
        return self


def random_text(seed: int, dtype: str) -> TextReaders:
    """Return both encoders at full size, seeded; a word is a token."""
    # Hollow, not empty: the positions that the network counts by must keep their values.
    clap = weights.drawn(hollow(lambda: build_clap_text(CLAP_TEXT)), seed, dtype)
    t5 = random_reader(FLAN_T5_LARGE, seed, dtype, TOKENS)
    # RoBERTa's numbers for padding and the end.
    tokenizer = StandInTokenizer(TOKENS, pad=1, end=2, vocabulary=clap.config.vocab_size)
    return TextReaders(t5, tokenizer, clap)


def random_sound(size: str, seed: int, dtype: str) -> SoundNetworks:
    """Return the full size, seeded; latents and mels are taken as normalised."""
    return SoundNetworks(
        weights.drawn(hollow(lambda: MeanFlowTransformer(SIZES[size])), seed, dtype),
        decoder.random_vae(seed, dtype),
        decoder.random_vocoder(seed, dtype),
    )


def read(
    size: str, transformer: Path, sound: Path, t5: Path, clap: Path, roberta: Path
) -> tuple[TextReaders, SoundNetworks]:
    """Read the transformer of a file, VAE and vocoder of the folder `sound`, and the text side.

    Raises ValueError that names file and tensor.
    """
    network = read_transformer(transformer)
    for name, published in SIZES.items():
        if network.config == published and name != size:
            raise ValueError(
                f"{transformer}: size is {name!r}, asked is {size!r}; set size = {name!r}, or give"
                " other weights"
            )
    vae = decoder.read_vae(sound / VAE_FILE)
    networks = SoundNetworks(network, vae, decoder.read_vocoder(sound / VOCODER_FILE))
    text = read_text(t5, clap, roberta)
    # The transformer's file fixes what the others must give and take.
    config = network.config
    for path, width, wanted in (
        (t5, text.t5.encoder.config.d_model, config.text_width),
        (clap, text.clap.config.projection_dim, config.pooled_width),
        (sound / VAE_FILE, vae.decoder.conv_in.in_channels, config.channels),
    ):
        if width != wanted:
            raise ValueError(
                f"{path}: width is {width}, expected {wanted} as in {transformer}; use the"
                " published files"
            )
    return text, networks


def read_transformer(path: Path) -> MeanFlowTransformer:
    """Read a checkpoint, as its training leaves it or as its average; its sizes are the file's.

    Raises ValueError that names the file and what is missing, left over or of another shape.
    """
    state: dict[str, Tensor] = {
        name.removeprefix(AVERAGED): value for name, value in read_tensors(path).items()
    }
    kept = {name: value for name, value in state.items() if name not in DERIVED}
    config = _config_of(kept, path)
    return weights.fill(weights.empty(lambda: MeanFlowTransformer(config)), kept, path)


def _config_of(state: Mapping[str, Tensor], path: Path) -> FluxConfig:
    head_width = shape_of(state, "fused_blocks.0.attn.q_norm.weight", path)[0]
    tokens, text_width = shape_of(state, "empty_string_feat", path)
    # Such as ("joint_blocks", "0"), each once.
    blocks = {tuple(name.split(".")[:2]) for name in state}
    return FluxConfig(
        heads=shape_of(state, "t_embed.mlp.2.weight", path)[0] // head_width,
        head_width=head_width,
        joint=sum(block[0] == "joint_blocks" for block in blocks),
        fused=sum(block[0] == "fused_blocks" for block in blocks),
        channels=shape_of(state, "latent_mean", path)[-1],
        text_width=text_width,
        text_tokens=tokens,
        pooled_width=shape_of(state, "empty_string_feat_c", path)[0],
    )
