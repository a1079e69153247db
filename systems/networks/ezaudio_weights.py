"""EzAudio's published checkpoints as STAR's parts: the VAE as it is, the DiT's input folded.

Networks here have other names for the same tensors. A file is held to the names that it should
have, so that a message names what its reader finds in it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from stabench.checkpoints.tensors import check_fit, fill_network, read_json, read_tensors
from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import WaveformVae

# Where the repository OpenSound/EzAudio keeps the VAE, its configuration beside it, and the DiT.
VAE_FILE, VAE_CONFIG = "ckpts/vae/1m.pt", "config.json"
UDIT_FILE = "ckpts/s3/ezaudio_s3_l.pt"
VAE_PREFIX, UDIT_PREFIX = "autoencoder.", "model."
MASK = "mask_embed"
# Layers of a side by their place in a torch Sequential; 1 to 4 of a side are blocks.
OUTER = {"conv1": 0, "snake1": 5, "conv2": 6}
ENCODER_BLOCK = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
DECODER_BLOCK = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
UNIT = ("snake1", "conv1", "snake2", "conv2")
SLOPES = (".alpha", ".beta")


def recognise(path: Path) -> Literal["udit", "vae"] | None:
    """Return which of EzAudio's networks a file holds, None for any other file.

    Raises FileNotFoundError and ValueError as `read_tensors`.
    """
    # Theirs are PyTorch's own files; one of safetensors holds no tables, which tell them.
    if path.suffix == ".safetensors":
        return None
    content = read_tensors(path)
    udit, vae = content.get("model"), content.get("state_dict")
    if isinstance(udit, dict) and MASK in udit:
        return "udit"
    if isinstance(vae, dict) and any(name.startswith(VAE_PREFIX) for name in vae):
        return "vae"
    return None


def read_udit(path: Path) -> UDiT:
    """Return EzAudio's DiT with its input folded from 2 C + 1 channels to C, in STAR's shape.

    It predicts EzAudio's diffusion v: a start for training, or a flow field through
    `systems.tta.ezaudio_flow`, not a finished STAR. It is in float32, whatever the file is in.
    Raises FileNotFoundError, and ValueError that names file and tensors.
    """
    state = read_tensors(path, part="model")
    config = udit_config(state, path)
    with torch.device("meta"):
        udit = UDiT(config)
    fill_network(udit, udit_from_ezaudio(state, udit, path), path, assign=True)
    return udit.float()


def udit_config(state: Mapping[str, Tensor], where: str | Path) -> UDiTConfig:
    """Return the shape of EzAudio's DiT, its input folded, as the file's tensors tell it.

    The scale of the low-rank modulation is no tensor; as published, alpha is the rank. Raises
    ValueError that begins with `where` for tensors that tell no shape.
    """
    blocks = {match[1] for key in state if (match := re.match(r"model\.in_blocks\.(\d+)\.", key))}
    block = f"{UDIT_PREFIX}in_blocks.0."
    try:
        width = state[f"{UDIT_PREFIX}patch_embed.proj.weight"].shape[0]
        # AdaLN keeps six vectors a block (shift, scale, gate, twice), each of this rank.
        rank = state[f"{block}adaln.lora_a.weight"].shape[0] // 6
        return UDiTConfig(
            in_channels=state[MASK].shape[0],
            width=width,
            heads=width // state[f"{block}attn.norm_q.weight"].shape[0],
            depth=2 * len(blocks),
            mlp_ratio=state[f"{block}mlp.net.2.weight"].shape[1] // width,
            lora_rank=rank,
            lora_alpha=rank,
            context_width=state[f"{UDIT_PREFIX}context_embed.0.weight"].shape[1],
        )
    except KeyError as error:
        raise ValueError(
            f"{where}: no EzAudio DiT (missing {error.args[0]}); fetch the file again"
        ) from error
    except (AttributeError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{where}: no EzAudio DiT ({error}); fetch the file again") from error


def udit_from_ezaudio(
    state: Mapping[str, Tensor], udit: UDiT, where: str | Path
) -> dict[str, Tensor]:
    """Return EzAudio's tensors (`model.<name>` and `mask_embed`) as the state of `udit`.

    Raises ValueError that begins with `where` and names what does not fit as the file does.
    """
    channels = udit.config.in_channels
    wanted = {f"{UDIT_PREFIX}{name}": value for name, value in udit.state_dict().items()}
    patches = f"{UDIT_PREFIX}patch_embed.proj"
    with torch.device("meta"):
        wide = (udit.config.width, 2 * channels + 1, udit.config.patch_size)
        wanted |= {f"{patches}.weight": torch.empty(wide), MASK: torch.empty(channels)}
    check_fit(wanted, state, where, "EzAudio's DiT")
    weight, bias = fold_input(state[f"{patches}.weight"], state[f"{patches}.bias"], state[MASK])
    tensors = {
        name.removeprefix(UDIT_PREFIX): value for name, value in state.items() if name != MASK
    }
    return tensors | {"patch_embed.proj.weight": weight, "patch_embed.proj.bias": bias}


def fold_input(weight: Tensor, bias: Tensor, mask_embed: Tensor) -> tuple[Tensor, Tensor]:
    """Return EzAudio's patch embedding [D, 2 C + 1, P] without its constant inputs.

    Its channels are the noisy latent (C), the masked latent (C) and the mask (1); in plain
    text-to-audio the last two are `mask_embed` [C] and 1, so they fold exactly into the bias: the
    results are [D, C, P] and [D].
    """
    channels = mask_embed.shape[0]
    constant = torch.cat([mask_embed, mask_embed.new_ones(1)]).double()
    # In float64 and rounded once: a sum of 129 products is otherwise felt in the last digits.
    folded = bias.double() + weight[:, channels:].double().sum(-1) @ constant
    # Not back to a half precision that the file may have: the bias is added in float32.
    return weight[:, :channels], folded.to(torch.promote_types(bias.dtype, torch.float32))


def vae_file(place: Path) -> Path:
    """Return `place` if it is no folder, else EzAudio's VAE in it, as in its repository or bare."""
    return _find_file(place, VAE_FILE)


def udit_file(place: Path) -> Path:
    """Return `place` if it is no folder, else EzAudio-L's DiT in it, found as the VAE is."""
    return _find_file(place, UDIT_FILE)


def _find_file(place: Path, name: str) -> Path:
    if not place.is_dir():
        return place
    bare = place / Path(name).name
    return bare if bare.is_file() else place / name


def vae_config(path: Path) -> VaeConfig:
    """Return the VAE that a published config.json describes.

    Raises FileNotFoundError, and ValueError that names file and key.
    """
    table: Any = read_json(path)
    try:
        model, rate = table["model"], table["sample_rate"]
        decoder = model["decoder"]["config"]
        return VaeConfig(
            sample_rate_hz=rate,
            latent_channels=model["latent_dim"],
            ratios=tuple(decoder["strides"]),
            multiples=tuple(decoder["c_mults"]),
            base=decoder["channels"],
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path}: does not describe EzAudio's VAE ({reason}); fetch it again"
        ) from error


def read_vae(path: Path, vae: WaveformVae) -> dict[str, Tensor]:
    """Return the tensors of EzAudio's file (`autoencoder.<name>`) as the state of `vae`.

    What its training kept beside them (discriminators) is left alone. Latents are neither scaled
    nor shifted there. Raises FileNotFoundError, and ValueError that names the file and what does
    not fit, as the file does: tensors, or the rate that a config.json beside it says.
    """
    # Tensors tell every size but this one: at another rate every sound would be out of tune.
    if (beside := path.with_name(VAE_CONFIG)).is_file():
        rate = vae_config(beside).sample_rate_hz
        if rate != vae.sample_rate_hz:
            raise ValueError(
                f"{beside}: sample_rate is {rate}, but vae.sample_rate_hz of this system is "
                f"{vae.sample_rate_hz}; make them equal"
            )
    state = read_tensors(path, part="state_dict")
    published = {key: value for key, value in state.items() if key.startswith(VAE_PREFIX)}
    latents = ("latent_mean", "latent_std")
    shapes = {name: each for name, each in vae.state_dict().items() if name not in latents}
    names = {name: published_vae_name(name) for name in shapes}
    # The slopes of a snake are [C] there and [1, C, 1] in diffusers.
    wanted = {
        names[name]: each.flatten() if name.endswith(SLOPES) else each
        for name, each in shapes.items()
    }
    check_fit(wanted, published, path, "EzAudio's VAE")
    channels = vae.config.latent_channels
    identity = {"latent_mean": torch.zeros(channels), "latent_std": torch.ones(channels)}
    return identity | {
        name: published[names[name]].reshape(each.shape) for name, each in shapes.items()
    }


def published_vae_name(name: str) -> str:
    """Return EzAudio's name for a tensor of `WaveformVae`.

    >>> published_vae_name("oobleck.encoder.block.1.res_unit1.conv2.bias")
    'autoencoder.encoder.layers.2.layers.0.layers.3.bias'
    """
    _, side, first, *rest, leaf = name.split(".")
    if first in OUTER:
        places = [OUTER[first]]
    else:
        number, layer, *inner = rest
        block = ENCODER_BLOCK if side == "encoder" else DECODER_BLOCK
        places = [int(number) + 1, block.index(layer), *map(UNIT.index, inner)]
    return VAE_PREFIX + ".".join([side, *(f"layers.{place}" for place in places), leaf])
