"""AUDIT's networks: from the files of Amphion's recipe, or of its sizes and random."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from systems.cascade.tta import audit_unet, ldm_autoencoder, ldm_vocoder, ldm_weights
from systems.cascade.tta.ldm_generator import Networks
from systems.cascade.tta.ldm_prompt import T5_BASE, Reader, TokenizerFolder, random_reader, read_t5

RATE_HZ = 16_000
MELS = 80
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 256,
    "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2,
    "channel_mult": [1, 2, 4],
    "num_heads": 8,
    "transformer_depth": 1,
    "context_dim": 768,
}
AUTOENCODER = {
    "ch": 128,
    "num_res_blocks": 2,
    "in_channels": 1,
    "z_channels": 4,
    "out_ch": 1,
    "double_z": True,
}
VOCODER = {
    "upsample_initial_channel": 512,
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}
"""Of random weights (HiFi-GAN V1 with hop 256); a checkpoint brings its own config.json."""


class Files(NamedTuple):
    """One of the published models: paths in Amphion's repository, and the autoencoder's levels."""

    config: str
    unet: str
    autoencoder: str
    ch_mult: tuple[int, ...]


VARIANTS = {
    (5, 39): Files(
        "egs/tta/audioldm/exp_config.json",
        "ckpts/tta/audioldm_debug_latent_size_4_5_39/checkpoints/step-0570000_loss-0.2521.pt",
        "ckpts/tta/autoencoder_kl_debug/checkpoints/step-0445000_loss-0.3306.pt",
        (1, 1, 2, 2, 4),
    ),
    (10, 78): Files(
        "egs/tta/audioldm/exp_config_latent_4_10_78.json",
        "ckpts/tta/audioldm_debug_latent_size_4_10_78/checkpoints/step-0325000_loss-0.1936.pt",
        "ckpts/tta/autoencoder_kl_debug_latent_size_4_10_78/checkpoints/"
        "step-0390000_loss-0.2876.pt",
        (1, 2, 2, 4),
    ),
}
VOCODER_FOLDER = "ckpts/tta/hifigan_checkpoints"


def random_text(seed: int, dtype: str) -> Reader:
    """The full size, seeded."""
    return random_reader(T5_BASE, seed, dtype)


def random_sound(latent: tuple[int, int], seed: int, dtype: str) -> Networks:
    """The full size, seeded."""
    levels = {"ch_mult": VARIANTS[latent].ch_mult}
    parts = [
        build_unet(UNET, latent),
        build_autoencoder(AUTOENCODER | levels),
        build_vocoder(VOCODER),
    ]
    return Networks(*(ldm_weights.drawn(part, seed, dtype) for part in parts))


def read(checkpoint: Path, t5: Path, latent: tuple[int, int]) -> tuple[Reader, Networks]:
    """The networks of Amphion's files under `checkpoint`, laid out as in its repository, and T5
    with its tokenizer in the folder `t5`. Every tensor is used once. ValueError names file and
    key."""
    files = VARIANTS[latent]
    config = checkpoint / files.config
    models = ldm_weights.section(config, ldm_weights.json_of(config), "model")
    unet_settings = UNET | ldm_weights.section(config, models, "audioldm")
    vae_settings = AUTOENCODER | ldm_weights.section(config, models, "autoencoderkl")
    reader = Reader(TokenizerFolder(t5), read_t5(t5))
    return reader, Networks(
        _read_unet(checkpoint / files.unet, unet_settings, latent),
        _read_autoencoder(checkpoint / files.autoencoder, vae_settings),
        _read_vocoder(checkpoint / VOCODER_FOLDER),
    )


def build_unet(settings: dict[str, Any], latent: tuple[int, int]) -> nn.Module:
    """On the meta device."""
    return ldm_weights.empty(lambda: audit_unet.build(settings, latent))


def build_autoencoder(settings: dict[str, Any]) -> nn.Module:
    """On the meta device; without attention in its middle, latents not scaled."""
    channels = settings["z_channels"]
    return ldm_weights.empty(lambda: ldm_autoencoder.build(settings, channels, mid_attention=False))


def build_vocoder(settings: dict[str, Any]) -> nn.Module:
    """On the meta device."""
    return ldm_weights.empty(lambda: ldm_vocoder.build(settings, MELS, RATE_HZ))


def _read_unet(path: Path, settings: dict[str, Any], latent: tuple[int, int]) -> nn.Module:
    state = ldm_weights.tensors(path, part="model")
    bare = {key.removeprefix("unet."): value for key, value in state.items()}
    renamed = audit_unet.from_ldm(bare, settings)
    return ldm_weights.fill(build_unet(settings, latent), renamed, path)


def _read_autoencoder(path: Path, settings: dict[str, Any]) -> nn.Module:
    state = ldm_weights.tensors(path, part="model")
    renamed = ldm_autoencoder.from_ldm(state, len(settings["ch_mult"]))
    return ldm_weights.fill(build_autoencoder(settings), renamed, path)


def _read_vocoder(folder: Path) -> nn.Module:
    settings = ldm_weights.json_of(folder / "config.json")
    path = folder / "g_01250000"
    renamed = ldm_vocoder.from_hifigan(ldm_weights.tensors(path, part="generator"), MELS)
    return ldm_weights.fill(build_vocoder(settings), renamed, path)
