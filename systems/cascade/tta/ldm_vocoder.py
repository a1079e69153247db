"""HiFi-GAN, from log-mel frames to sound: its keys and settings as transformers has them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

SETTINGS = (
    "upsample_initial_channel",
    "upsample_rates",
    "upsample_kernel_sizes",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)


def build(settings: Mapping[str, Any], mels: int, rate_hz: int) -> nn.Module:
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
            plain[f"{stem}.weight"] = torch._weight_norm(value, state[f"{stem}.weight_g"], 0)
        elif leaf != "weight_g" or f"{stem}.weight_v" not in state:
            plain[key] = value
    return plain
