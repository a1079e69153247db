"""A tiny AUDIT in the layout of Amphion's repository, T5-base beside it."""

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.systems.tta import tiny_t5
from tests.systems.tta.tiny_weights import draw, golden

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2,
    "channel_mult": [1, 1, 2],
    "num_heads": 4,
    "use_spatial_transformer": True,
    "transformer_depth": 1,
    "context_dim": 32,
    "use_checkpoint": True,
    "legacy": False,
}
LEVELS = {(5, 39): [1, 1, 1, 1, 2], (10, 78): [1, 1, 1, 2]}
VAE = {
    "ch": 32,
    "num_res_blocks": 1,
    "in_channels": 1,
    "z_channels": 4,
    "out_ch": 1,
    "double_z": True,
}
VOCODER = {
    "resblock": "1",
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "num_mels": 80,
    "sampling_rate": 16000,
}
AUDIO = Path("ckpts/tta")
PATHS = {
    (5, 39): (
        "audit",
        Path("egs/tta/audioldm/exp_config.json"),
        AUDIO / "audioldm_debug_latent_size_4_5_39/checkpoints/step-0570000_loss-0.2521.pt",
        AUDIO / "autoencoder_kl_debug/checkpoints/step-0445000_loss-0.3306.pt",
    ),
}
VOCODER_FOLDER = AUDIO / "hifigan_checkpoints"


def write(home: Path, latent: tuple[int, int] = (5, 39)) -> Path:
    """`audit/` and `t5-base/` in `home`, with the tensor names of the original."""
    names = golden("audit")
    entry, config, unet, vae = PATHS[latent]
    folder = home / entry
    tables = {"audioldm": UNET, "autoencoderkl": VAE | {"ch_mult": LEVELS[latent]}}
    _text(folder / config, '{\n// as its authors do\n"model": ' + json.dumps(tables) + "}")
    _save(folder / unet, "model", draw(names["unet"]))
    _save(folder / vae, "model", draw(names["vae"]))
    _text(folder / VOCODER_FOLDER / "config.json", json.dumps(VOCODER))
    _save(folder / VOCODER_FOLDER / "g_01250000", "generator", draw(names["vocoder"]))
    tiny_t5.write(home / "t5-base", "relu")
    return home


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _save(path: Path, part: str, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({part: tensors}, path)
