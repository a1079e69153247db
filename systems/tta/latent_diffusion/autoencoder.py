"""The mel autoencoder of latent diffusion models: their keys and settings as diffusers has them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers.models import AutoencoderKL

# LDM fixes the groups of its norms in its code.
GROUPS = 32
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def build(
    settings: Mapping[str, Any], latent_channels: int, mid_attention: bool, scale: float = 1.0
) -> "AutoencoderKL":
    """diffusers' AutoencoderKL for LDM settings (`ch`, `ch_mult`, `num_res_blocks`, `in_channels`,
    `out_ch`, `z_channels`); latents are stored times `scale`.

    ValueError for settings that the class cannot express.
    """
    from diffusers.models import AutoencoderKL

    if not settings.get("double_z", True) or settings.get("attn_resolutions"):
        raise ValueError(
            f"autoencoder settings {dict(settings)}: double_z must be true and attn_resolutions"
            " empty; no published checkpoint has others"
        )
    if latent_channels != settings["z_channels"]:
        raise ValueError(
            f"embed_dim is {latent_channels}, z_channels is {settings['z_channels']}; allowed are"
            " equal ones"
        )
    levels = len(settings["ch_mult"])
    return AutoencoderKL(
        in_channels=settings["in_channels"],
        out_channels=settings["out_ch"],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(settings["ch"] * multiple for multiple in settings["ch_mult"]),
        layers_per_block=settings["num_res_blocks"],
        latent_channels=latent_channels,
        norm_num_groups=GROUPS,
        scaling_factor=scale,
        mid_block_add_attention=mid_attention,
    )


def from_ldm(state: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """An LDM autoencoder's tensors under the names of diffusers; unknown names stay as they are.

    The 1 x 1 convolutions of the attention become matrices.
    """
    renamed = {}
    for key, value in state.items():
        name = _rename(key, levels)
        if ".attentions." in name and value.dim() == 4:
            value = value[:, :, 0, 0]
        renamed[name] = value
    return renamed


def _rename(key: str, levels: int) -> str:
    key = re.sub(r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets.", key)
    key = re.sub(r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0.", key)
    # LDM counts the levels of its decoder from the output, diffusers from the latents.
    key = re.sub(r"\.up\.(\d+)\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.", key)
    key = re.sub(r"(\.up_blocks\.\d+)\.block\.", r"\1.resnets.", key)
    key = key.replace(".upsample.", ".upsamplers.0.")
    key = re.sub(r"\.mid\.block_(\d)\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}.", key)
    key = re.sub(
        r"\.mid\.attn_1\.(\w+)\.", lambda m: f".mid_block.attentions.0.{ATTENTION[m[1]]}.", key
    )
    return key.replace(".nin_shortcut.", ".conv_shortcut.").replace(".norm_out.", ".conv_norm_out.")


SETTINGS = (
    "upsample_initial_channel",
    "upsample_rates",
    "upsample_kernel_sizes",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)


def build_vocoder(settings: Mapping[str, Any], mels: int, rate_hz: int) -> nn.Module:
    """transformers' SpeechT5HifiGan for HiFi-GAN's own settings (its config.json).

    ValueError for a missing setting, and for residual blocks of the second kind.
    """
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    missing = [name for name in SETTINGS if name not in settings]
    if missing or str(settings.get("resblock", "1")) != "1":
        what = f"lacks {missing[0]!r}" if missing else "has residual blocks of kind 2"
        raise ValueError(f"vocoder configuration {what}; fetch the published config.json again")
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=mels,
            sampling_rate=rate_hz,
            normalize_before=False,
            **{name: settings[name] for name in SETTINGS},
        )
    )


def from_hifigan(state: Mapping[str, Tensor], mels: int) -> dict[str, Tensor]:
    """HiFi-GAN's tensors under the names of transformers, weight norm multiplied out.

    The normalisation that transformers stores beside them (unused here) is the identity.
    """
    plain = fuse(state)
    renamed = {
        f"upsampler.{key.removeprefix('ups.')}" if key.startswith("ups.") else key: value
        for key, value in plain.items()
    }
    return renamed | {"mean": torch.zeros(mels), "scale": torch.ones(mels)}


def fuse(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """weight_g and weight_v of every layer as the weight that they mean: g v / |v|.

    A gain or direction without its partner stays as it is, to be found left over.
    """
    plain = {}
    for key, value in state.items():
        stem, _, leaf = key.rpartition(".")
        if leaf == "weight_v" and f"{stem}.weight_g" in state:
            # The norm is over all but axis 0, in transposed convolutions as well.
            plain[f"{stem}.weight"] = torch._weight_norm(value, state[f"{stem}.weight_g"], 0)
        elif leaf != "weight_g" or f"{stem}.weight_v" not in state:
            plain[key] = value
    return plain
