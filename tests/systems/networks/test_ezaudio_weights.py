"""EzAudio's checkpoints as STAR's parts: exact folding, complete key maps."""

import torch
from torch import nn

from stabench.systems.networks.config import UDiTConfig, VaeConfig
from stabench.systems.networks.ezaudio_weights import (
    fold_input,
    udit_from_ezaudio,
    vae_from_ezaudio,
)
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import WaveformVae


def test_folded_input_equals_the_wide_one(disturb):
    config = UDiTConfig(width=32, heads=2, depth=2, lora_rank=4, context_width=32)
    udit = disturb(UDiT(config))
    wide, mask_embed = nn.Conv1d(257, 32, 1), torch.randn(128)
    latent = torch.randn(2, 128, 9)
    constant = torch.cat([mask_embed, torch.ones(1)])[None, :, None].expand(2, -1, 9)
    inputs = torch.tensor([500.0, 7.0]), torch.randn(2, 4, 32)
    with torch.no_grad():
        state = {f"model.{key}": value.clone() for key, value in udit.state_dict().items()}
        state |= {"model.patch_embed.proj.weight": wide.weight, "mask_embed": mask_embed}
        state["model.patch_embed.proj.bias"] = wide.bias
        udit.load_state_dict(udit_from_ezaudio(state))
        folded = udit(latent, *inputs)
        udit.patch_embed.proj = wide
        expected = udit(torch.cat([latent, constant], 1), *inputs)
    torch.testing.assert_close(folded, expected, atol=2e-5, rtol=1e-5)


def test_the_fold_itself_is_exact():
    weight, bias, mask_embed = torch.randn(6, 257, 1), torch.randn(6), torch.randn(128)
    latent = torch.randn(128)
    whole = weight[..., 0] @ torch.cat([latent, mask_embed, torch.ones(1)]) + bias
    narrow, folded = fold_input(weight, bias, mask_embed)
    torch.testing.assert_close(narrow[..., 0] @ latent + folded, whole, atol=1e-5, rtol=1e-6)


def test_ezaudio_l_matches_by_name_and_shape():
    with torch.device("meta"):
        udit = UDiT(UDiTConfig())
        state = {f"model.{key}": value for key, value in udit.state_dict().items()}
        state["model.patch_embed.proj.weight"] = torch.empty(1024, 257, 1)
        state["mask_embed"] = torch.empty(128)
        buffers = sum(value.numel() for key, value in state.items() if "inv_freq" in key)
        assert sum(value.numel() for value in state.values()) - buffers == 596_830_080
        udit.load_state_dict(udit_from_ezaudio(state), strict=True)


def published_vae_keys() -> set[str]:
    """The tensor names of EzAudio's VAE checkpoint, spelled from its layer order."""
    convolution, snake = ("weight_g", "weight_v", "bias"), ("alpha", "beta")
    keys = []

    def add(stem, leaves):
        keys.extend(f"autoencoder.{stem}.{leaf}" for leaf in leaves)

    for side, units, act, stride in (("encoder", (0, 1, 2), 3, 4), ("decoder", (2, 3, 4), 0, 1)):
        add(f"{side}.layers.0", convolution)
        for index in range(1, 5):
            add(f"{side}.layers.{index}.layers.{act}", snake)
            add(f"{side}.layers.{index}.layers.{stride}", convolution)
            for unit in units:
                stem = f"{side}.layers.{index}.layers.{unit}.layers"
                add(f"{stem}.0", snake)
                add(f"{stem}.1", convolution)
                add(f"{stem}.2", snake)
                add(f"{stem}.3", convolution)
        add(f"{side}.layers.5", snake)
        add(f"{side}.layers.6", convolution if side == "encoder" else convolution[:2])
    return set(keys)


def test_vae_keys_fill_the_waveform_vae_exactly():
    state = {key: torch.zeros(3) for key in published_vae_keys()}
    mapped = vae_from_ezaudio(state | {"discriminators.0.weight": torch.zeros(1)})
    own = WaveformVae(VaeConfig(base=2, latent_channels=2)).state_dict().keys()
    assert mapped.keys() == own - {"latent_mean", "latent_std"}
    assert mapped["oobleck.encoder.block.1.res_unit2.snake1.alpha"].shape == (1, 3, 1)


def test_vae_parts_keep_their_owner():
    names = {
        "autoencoder.encoder.layers.2.layers.0.layers.1.weight_v": (
            "oobleck.encoder.block.1.res_unit1.conv1.weight_v"
        ),
        "autoencoder.decoder.layers.3.layers.4.layers.3.bias": (
            "oobleck.decoder.block.2.res_unit3.conv2.bias"
        ),
        "autoencoder.decoder.layers.1.layers.1.weight_g": (
            "oobleck.decoder.block.0.conv_t1.weight_g"
        ),
    }
    mapped = vae_from_ezaudio({key: torch.zeros(1) for key in names})
    assert list(mapped) == list(names.values())
