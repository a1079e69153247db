"""AUDIT's networks: from the files of Amphion's recipe, or of its sizes and random."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.tta.latent_diffusion import autoencoder, weights
from stabench.systems.tta.latent_diffusion.generator import Networks
from stabench.systems.tta.latent_diffusion.prompt import (
    T5_BASE,
    Reader,
    TokenizerFolder,
    random_reader,
    read_t5,
)

if TYPE_CHECKING:
    from diffusers.models import AutoencoderKL, UNet2DConditionModel

RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
OUTSIDE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "middle_block.1": "mid_block.attentions.0",
}


class CropUpsample(nn.Module):
    """Twice the size, a convolution, then a crop to the size that the skip wants.

    diffusers resizes to that size before it convolves: another result wherever a size is odd, as
    5 x 39 is.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, hidden: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """[B, C, H, W] to [B, C, 2 H, 2 W], or to [B, C, *size]."""
        large = self.conv(functional.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return large if size is None else large[..., : size[0], : size[1]]


def build(settings: Mapping[str, Any], latent: tuple[int, int]) -> "UNet2DConditionModel":
    """diffusers' UNet for Amphion's settings (the `audioldm` table of exp_config.json).

    ValueError for settings that other checkpoints than the published might have.
    """
    from diffusers.models import UNet2DConditionModel

    levels = len(settings["channel_mult"])
    depths = [2**level for level in range(levels)]
    if sorted(settings["attention_resolutions"]) != depths or settings["transformer_depth"] != 1:
        raise ValueError(
            f"attention_resolutions is {settings['attention_resolutions']}, allowed are all of"
            f" {depths} (and transformer_depth 1)"
        )
    unet = UNet2DConditionModel(
        sample_size=latent,
        in_channels=settings["in_channels"],
        out_channels=settings["out_channels"],
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=[settings["model_channels"] * m for m in settings["channel_mult"]],
        layers_per_block=settings["num_res_blocks"],
        cross_attention_dim=settings["context_dim"],
        # diffusers' name for the number of heads.
        attention_head_dim=settings["num_heads"],
    )
    # The last level is at full size already and has no upsampler.
    for block in unet.up_blocks[:-1]:
        conv = block.get_submodule("upsamplers.0.conv")
        block.upsamplers = nn.ModuleList([CropUpsample(conv)])
    return unet


def from_ldm(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of an LDM UNet under the names of diffusers; unknown names stay as they are."""
    layers = settings["num_res_blocks"]
    return {_rename(key, layers): value for key, value in state.items()}


def _rename(key: str, layers: int) -> str:
    """Return diffusers' name of a tensor; `layers` is num_res_blocks."""
    for old, new in OUTSIDE.items():
        if key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    match = re.fullmatch(r"(input_blocks|output_blocks|middle_block)\.(\d+)\.(.+)", key)
    if not match:
        return key
    kind, number, inner = match[1], int(match[2]), match[3]
    # The middle is residual block, attention (OUTSIDE), residual block: 0 and 2 become 0 and 1.
    if kind == "middle_block":
        return f"mid_block.resnets.{number // 2}.{_resnet(inner)}"
    # A block of an LDM is a row of parts: residual block, attention, and perhaps a resampler.
    before, rest = inner.split(".", 1)
    part = int(before)
    if kind == "input_blocks":
        # Block 0 is the first convolution; then each level has `layers` and a downsampler.
        level, layer = divmod(number - 1, layers + 1)
        block = f"down_blocks.{level}"
        if layer == layers:
            return f"{block}.downsamplers.0.{rest.replace('op.', 'conv.', 1)}"
    else:
        # Each level has `layers` + 1; the last of them carries the upsampler.
        level, layer = divmod(number, layers + 1)
        block = f"up_blocks.{level}"
        if part == 2:
            return f"{block}.upsamplers.0.{rest}"
    if part == 0:
        return f"{block}.resnets.{layer}.{_resnet(rest)}"
    return f"{block}.attentions.{layer}.{rest}"


def _resnet(inner: str) -> str:
    stem, _, leaf = inner.rpartition(".")
    return f"{RESNET.get(stem, stem)}.{leaf}"


RATE_HZ = 16_000
MELS = 80
UNET: dict[str, Any] = {
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
AUTOENCODER: dict[str, Any] = {
    "ch": 128,
    "num_res_blocks": 2,
    "in_channels": 1,
    "z_channels": 4,
    "out_ch": 1,
    "double_z": True,
}
# For random weights (HiFi-GAN V1 with hop 256); a checkpoint brings its own config.json.
VOCODER = {
    "upsample_initial_channel": 512,
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}


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
    return Networks(
        weights.drawn(build_unet(UNET, latent), seed, dtype),
        weights.drawn(build_autoencoder(AUTOENCODER | levels), seed, dtype),
        weights.drawn(build_vocoder(VOCODER), seed, dtype),
    )


def read(checkpoint: Path, t5: Path, latent: tuple[int, int]) -> tuple[Reader, Networks]:
    """The networks of Amphion's files under `checkpoint`, laid out as in its repository, and T5
    with its tokenizer in the folder `t5`. Every tensor is used once. ValueError names file and
    key."""
    files = VARIANTS[latent]
    config = checkpoint / files.config
    models = weights.section(config, read_json(config), "model")
    unet_settings = UNET | weights.section(config, models, "audioldm")
    vae_settings = AUTOENCODER | weights.section(config, models, "autoencoderkl")
    reader = Reader(TokenizerFolder(t5), read_t5(t5))

    path = checkpoint / files.unet
    state = read_tensors(path, part="model")
    bare = {key.removeprefix("unet."): value for key, value in state.items()}
    unet = weights.fill(build_unet(unet_settings, latent), from_ldm(bare, unet_settings), path)

    path = checkpoint / files.autoencoder
    state = read_tensors(path, part="model")
    renamed = autoencoder.from_ldm(state, len(vae_settings["ch_mult"]))
    vae = weights.fill(build_autoencoder(vae_settings), renamed, path)

    # The vocoder's settings are in its own folder: exp_config.json does not hold them.
    settings = read_json(checkpoint / VOCODER_FOLDER / "config.json")
    path = checkpoint / VOCODER_FOLDER / "g_01250000"
    renamed = autoencoder.from_hifigan(read_tensors(path, part="generator"), MELS)
    return reader, Networks(unet, vae, weights.fill(build_vocoder(settings), renamed, path))


def build_unet(settings: dict[str, Any], latent: tuple[int, int]) -> "UNet2DConditionModel":
    """On the meta device."""
    return weights.empty(lambda: build(settings, latent))


def build_autoencoder(settings: dict[str, Any]) -> "AutoencoderKL":
    """On the meta device; without attention in its middle, latents not scaled."""
    channels = settings["z_channels"]
    return weights.empty(lambda: autoencoder.build(settings, channels, mid_attention=False))


def build_vocoder(settings: dict[str, Any]) -> nn.Module:
    """On the meta device."""
    return weights.empty(lambda: autoencoder.build_vocoder(settings, MELS, RATE_HZ))
