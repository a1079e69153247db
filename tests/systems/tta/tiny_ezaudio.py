"""A tiny EzAudio in the layout of its hub repository, FLAN-T5 beside it."""

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.systems.tta import tiny_t5
from tests.systems.tta.tiny_weights import draw, golden

UDIT = {
    "mae": True,
    "mae_prob": 0.25,
    "mask_ratio": [0.25, 1.0],
    "mask_span": 10,
    "img_size": 500,
    "patch_size": 1,
    "in_chans": 257,
    "out_chans": 128,
    "input_type": "1d",
    "embed_dim": 32,
    "depth": 4,
    "num_heads": 2,
    "mlp_ratio": 4.0,
    "qkv_bias": False,
    "qk_scale": None,
    "qk_norm": "layernorm",
    "norm_layer": "layernorm",
    "act_layer": "geglu",
    "context_norm": True,
    "use_checkpoint": True,
    "time_fusion": "ada_sola_bias",
    "ada_sola_rank": 4,
    "ada_sola_alpha": 4,
    "cls_dim": None,
    "context_dim": 32,
    "context_fusion": "cross",
    "context_max_length": None,
    "context_pe_method": "none",
    "pe_method": "none",
    "rope_mode": "shared",
    "use_conv": True,
    "skip": True,
    "skip_norm": True,
}
"""The `model` table of the original's ckpts/ezaudio-l.yml, smaller."""
SIDE = {"channels": 4, "c_mults": [1, 2, 4, 8], "strides": [2, 4, 6, 10], "use_snake": True}
VAE = {
    "model_type": "autoencoder",
    "sample_size": 12000,
    "sample_rate": 24000,
    "audio_channels": 1,
    "model": {
        "encoder": {"type": "oobleck", "config": {"in_channels": 1, "latent_dim": 256, **SIDE}},
        "decoder": {
            "type": "oobleck",
            "config": {"out_channels": 1, "latent_dim": 128, "final_tanh": False, **SIDE},
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": 128,
        "downsampling_ratio": 480,
        "io_channels": 1,
    },
}


def write(home: Path) -> Path:
    """`ezaudio-l/`, `ezaudio-vae/` and `flan-t5-large/` in `home`, named as by the original."""
    names = golden("ezaudio")
    vae = home / "ezaudio-vae" / "ckpts" / "vae"
    _save(home / "ezaudio-l" / "ezaudio_s3_l.pt", {"model": draw(names["udit"])})
    # Its training leaves tensors of other networks in the file.
    extra = {"discriminators.weight": torch.zeros(1)}
    _save(vae / "1m.pt", {"state_dict": draw(names["vae"]) | extra})
    (vae / "config.json").write_text(json.dumps(VAE))
    tiny_t5.write(home / "flan-t5-large")
    return home


def _save(path: Path, content: dict[str, dict[str, Tensor]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
