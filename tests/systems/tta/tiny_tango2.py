"""A tiny TANGO 2 in the layout of its hub repository, FLAN-T5 beside it."""

import json
from pathlib import Path

import torch

from tests.systems.tta import tiny_t5
from tests.systems.tta.tiny_weights import draw, golden

UNET = {
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [32, 32, 64, 64],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 2, "UpBlock2D"],
    "layers_per_block": 1,
    "attention_head_dim": [2, 2, 4, 4],
    "cross_attention_dim": 32,
    "use_linear_projection": True,
    "upcast_attention": True,
    "sample_size": [32, 2],
}
MAIN = {
    "text_encoder_name": "google/flan-t5-large",
    "scheduler_name": "stabilityai/stable-diffusion-2-1",
    "unet_model_config_path": "unet.json",
    "snr_gamma": 5,
}
VAE = {
    "image_key": "fbank",
    "subband": 1,
    "embed_dim": 8,
    "time_shuffle": 1,
    "scale_factor": 0.9,
    "ddconfig": {
        "double_z": True,
        "z_channels": 8,
        "resolution": 256,
        "in_channels": 1,
        "out_ch": 1,
        "ch": 32,
        "ch_mult": [1, 1, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
}
VOCODER_WIDTH = 32


def configure(folder: Path) -> Path:
    """The JSON files."""
    folder.mkdir(parents=True)
    tables = {"main_config": MAIN, "vae_config": VAE, "stft_config": {}, "unet": UNET}
    for name, table in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    return folder


def write(home: Path) -> Path:
    """`tango2/` and `flan-t5-large/` in `home`, with the tensor names of the original."""
    folder, names = configure(home / "tango2"), golden("tango2")
    t5 = {f"text_encoder.{key}": value for key, value in tiny_t5.tensors().items()}
    torch.save(draw(names["main"]) | t5, folder / "pytorch_model_main.bin")
    torch.save(draw(names["vae"]), folder / "pytorch_model_vae.bin")
    torch.save({}, folder / "pytorch_model_stft.bin")
    tiny_t5.write(home / "flan-t5-large")
    return home
