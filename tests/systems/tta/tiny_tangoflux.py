"""A tiny TangoFlux in the layout of its hub repository, FLAN-T5 beside it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from stabench.systems.tta.tangoflux.networks import SETTINGS, FluxField
from tests.systems.tta import tiny_oobleck, tiny_t5
from tests.systems.tta.tiny_weights import draw, named

# The keys of the published config.json.
CONFIG = {
    "num_layers": 2,
    "num_single_layers": 2,
    "in_channels": 4,
    # FLUX's rotary axes are made for heads as wide as the published ones.
    "attention_head_dim": 128,
    "joint_attention_dim": 32,
    "num_attention_heads": 1,
    "audio_seq_len": 24,
    "max_duration": 30,
    "uncondition": False,
    "text_encoder_name": "google/flan-t5-large",
}


def write(home: Path, frames: int = CONFIG["audio_seq_len"]) -> Path:
    """`tangoflux/` and `flan-t5-large/`, if it is not there, in `home`; the text encoder's table
    under one name alone, as safetensors keeps it."""
    folder = home / "tangoflux"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"audio_seq_len": frames}))
    with torch.device("meta"):
        field = FluxField(SETTINGS | CONFIG)
    text = {f"text_encoder.{name}": value for name, value in tiny_t5.tensors().items()}
    del text["text_encoder.encoder.embed_tokens.weight"]
    save_file(draw(named(field.state_dict())) | text, folder / "tangoflux.safetensors")
    save_file(tiny_oobleck.tensors(), folder / "vae.safetensors")
    if not (home / "flan-t5-large").exists():
        tiny_t5.write(home / "flan-t5-large")
    return home
