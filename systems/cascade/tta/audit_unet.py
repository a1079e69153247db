"""AUDIT's UNet: Amphion's latent diffusion network through the class of diffusers."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

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

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, hidden: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """[B, C, H, W] to [B, C, 2 H, 2 W], or to [B, C, *size]."""
        large = self.conv(functional.interpolate(hidden, scale_factor=2.0, mode="nearest"))
        return large if size is None else large[..., : size[0], : size[1]]


def build(settings: Mapping[str, Any], latent: tuple[int, int]) -> nn.Module:
    """diffusers' UNet for Amphion's settings (the `audioldm` table of exp_config.json).

    ValueError for settings that other checkpoints than the published might have.
    """
    from diffusers import UNet2DConditionModel

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
    for block in unet.up_blocks[:-1]:
        block.upsamplers = nn.ModuleList([CropUpsample(block.upsamplers[0].conv)])
    return unet


def from_ldm(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of an LDM UNet under the names of diffusers; unknown names stay as they are."""
    layers = settings["num_res_blocks"]
    return {_rename(key, layers): value for key, value in state.items()}


def _rename(key: str, layers: int) -> str:
    for old, new in OUTSIDE.items():
        if key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    found = re.fullmatch(r"(input_blocks|output_blocks|middle_block)\.(\d+)\.(.+)", key)
    if not found:
        return key
    kind, number, inner = found[1], int(found[2]), found[3]
    if kind == "middle_block":
        return f"mid_block.resnets.{number // 2}.{_resnet(inner)}"
    place, rest = inner.split(".", 1)
    return (_down if kind == "input_blocks" else _up)(number, int(place), rest, layers)


def _down(number: int, place: int, rest: str, layers: int) -> str:
    """Input block 0 is the first convolution; then each level has `layers` and a downsampler."""
    level, layer = divmod(number - 1, layers + 1)
    if layer == layers:
        return f"down_blocks.{level}.downsamplers.0.{rest.replace('op.', 'conv.', 1)}"
    return _layer(f"down_blocks.{level}", place, layer, rest)


def _up(number: int, place: int, rest: str, layers: int) -> str:
    """Each level has `layers` + 1; the last of them carries the upsampler."""
    level, layer = divmod(number, layers + 1)
    if place == 2:
        return f"up_blocks.{level}.upsamplers.0.{rest}"
    return _layer(f"up_blocks.{level}", place, layer, rest)


def _layer(block: str, place: int, layer: int, rest: str) -> str:
    if place == 0:
        return f"{block}.resnets.{layer}.{_resnet(rest)}"
    return f"{block}.attentions.{layer}.{rest}"


def _resnet(inner: str) -> str:
    stem, _, leaf = inner.rpartition(".")
    return f"{RESNET.get(stem, stem)}.{leaf}"
