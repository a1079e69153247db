"""TANGO 2's networks: from the three files of its checkpoint, or of its sizes and random."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.tta.latent_diffusion import autoencoder, weights
from stabench.systems.tta.latent_diffusion.generator import Networks
from stabench.systems.tta.latent_diffusion.prompt import (
    FLAN_T5_LARGE,
    Reader,
    TokenizerFolder,
    random_reader,
    t5_from,
)

if TYPE_CHECKING:
    from diffusers.models import AutoencoderKL, UNet2DConditionModel

RATE_HZ = 16_000
MELS = 64
TEXT_ENCODER = "flan-t5-large"
SCHEDULER = "stabilityai/stable-diffusion-2-1"
UNET_CONFIG = "configs/diffusion_model_config.json"
# What UNET_CONFIG, a path inside the original's own repository, stands for;
# `attention_head_dim` is the number of heads.
UNET = {
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 2,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
    "sample_size": [32, 2],
}
# For random weights; a checkpoint brings its own vae_config.json.
AUTOENCODER = {
    "embed_dim": 8,
    "scale_factor": 0.9228,
    "ddconfig": {
        "double_z": True,
        "z_channels": 8,
        "in_channels": 1,
        "out_ch": 1,
        "ch": 128,
        "ch_mult": [1, 2, 4],
        "num_res_blocks": 2,
        "attn_resolutions": [],
    },
}
# The same for every checkpoint, as the original keeps it in its code.
VOCODER = {
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}


def random_text(seed: int, dtype: str) -> Reader:
    """The full size, seeded."""
    return random_reader(FLAN_T5_LARGE, seed, dtype)


def random_sound(seed: int, dtype: str) -> Networks:
    """The full size, seeded."""
    return Networks(
        weights.drawn(build_unet(UNET), seed, dtype),
        weights.drawn(build_autoencoder(AUTOENCODER), seed, dtype),
        weights.drawn(build_vocoder(VOCODER), seed, dtype),
    )


def read(checkpoint: Path, t5: Path) -> tuple[Reader, Networks]:
    """The networks of a checkpoint folder; tokenizer and T5's settings from the folder `t5`.

    Every tensor of the two files is used once (T5's embedding may stand in it twice). The files
    of the STFT, which generation does not need, are not read. ValueError names file and key.
    """
    main_config, main = checkpoint / "main_config.json", checkpoint / "pytorch_model_main.bin"
    settings = read_json(main_config)
    # Another text encoder or noise schedule would load without an error and sound wrong.
    encoder_name = weights.section(main_config, settings, "text_encoder_name")
    scheduler = weights.section(main_config, settings, "scheduler_name")
    if not str(encoder_name).endswith(TEXT_ENCODER):
        raise ValueError(
            f"{main_config}: text_encoder_name is {encoder_name!r}, allowed is {TEXT_ENCODER}"
        )
    if scheduler != SCHEDULER:
        raise ValueError(f"{main_config}: scheduler_name is {scheduler!r}, allowed is {SCHEDULER}")
    states = _split(main, read_tensors(main), ("unet.", "text_encoder."))
    unet = build_unet(_unet_settings(checkpoint, settings))
    t5_settings = read_json(t5 / "config.json")
    encoder = t5_from(t5_settings, states["text_encoder."], main)
    sound = Networks(
        weights.fill(unet, states["unet."], main),
        *_read_vae(checkpoint / "vae_config.json", checkpoint / "pytorch_model_vae.bin"),
    )
    return Reader(TokenizerFolder(t5), encoder), sound


def build_unet(settings: Mapping[str, Any]) -> "UNet2DConditionModel":
    """On the meta device."""
    from diffusers import UNet2DConditionModel

    return weights.empty(lambda: UNet2DConditionModel.from_config(dict(settings)))


def build_autoencoder(settings: Mapping[str, Any]) -> "AutoencoderKL":
    """On the meta device, from a vae_config.json."""
    return weights.empty(
        lambda: autoencoder.build(
            settings["ddconfig"],
            settings["embed_dim"],
            mid_attention=True,
            scale=settings["scale_factor"],
        )
    )


def build_vocoder(settings: Mapping[str, Any]) -> nn.Module:
    """On the meta device."""
    return weights.empty(lambda: autoencoder.build_vocoder(settings, MELS, RATE_HZ))


def _read_vae(config: Path, path: Path) -> tuple["AutoencoderKL", nn.Module]:
    """Autoencoder and vocoder, which share a file."""
    settings = read_json(config)
    for key in ("embed_dim", "scale_factor"):
        weights.section(config, settings, key)
    levels = len(weights.section(config, settings, "ddconfig", "ch_mult"))
    # The autoencoder's tensors have no prefix of their own: the empty one takes what is left.
    states = _split(path, read_tensors(path), ("vocoder.", ""))
    sounds = autoencoder.from_hifigan(states["vocoder."], MELS)
    if "conv_pre.weight" not in sounds:
        raise ValueError(f"{path}: 'vocoder.conv_pre.weight' is missing; fetch the file again")
    # The original fixes the width in its code; the file tells it as well.
    width = {"upsample_initial_channel": len(sounds["conv_pre.weight"])}
    return (
        weights.fill(build_autoencoder(settings), autoencoder.from_ldm(states[""], levels), path),
        weights.fill(build_vocoder(VOCODER | width), sounds, path),
    )


def _split(
    path: Path, state: Mapping[str, Tensor], prefixes: tuple[str, ...]
) -> dict[str, dict[str, Tensor]]:
    """`state` by the first prefix that fits, without it. ValueError for a key that fits none."""
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
    for key, value in state.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        if prefix is None:
            raise ValueError(
                f"{path}: tensor {key!r} is left over, expected are {' and '.join(prefixes)};"
                " fetch the file again"
            )
        parts[prefix][key.removeprefix(prefix)] = value
    return parts


def _unet_settings(checkpoint: Path, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The UNet's settings: a file beside the checkpoint, or the published ones by their name."""
    main_config = checkpoint / "main_config.json"
    name = weights.section(main_config, settings, "unet_model_config_path")
    if (checkpoint / name).is_file():
        return read_json(checkpoint / name)
    if name != UNET_CONFIG:
        raise ValueError(
            f"{main_config}: unet_model_config_path is {name!r}, known is {UNET_CONFIG};"
            " put the file beside it"
        )
    return UNET
