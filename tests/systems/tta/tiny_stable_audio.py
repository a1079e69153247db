"""A tiny Stable Audio Open in the layout of its hub repository."""

import json
from pathlib import Path

from safetensors.torch import save_file

from stabench.systems.tta.stable_audio import networks
from tests.systems.tta import tiny_oobleck, tiny_t5
from tests.systems.tta.tiny_weights import draw, named

TRANSFORMER = {
    "sample_size": 20,
    "in_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "num_key_value_attention_heads": 2,
    "out_channels": 4,
    # Keys and values have as many heads as fit into it: two.
    "cross_attention_dim": 16,
    "time_proj_dim": 16,
    "global_states_input_dim": 64,
    "cross_attention_input_dim": 32,
}
PROJECTION = {"text_encoder_dim": 32, "conditioning_dim": 32, "min_value": 0, "max_value": 512}
INDEX = {
    "_class_name": "StableAudioPipeline",
    "projection_model": ["stable_audio", "StableAudioProjectionModel"],
    "scheduler": ["diffusers", "CosineDPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "StableAudioDiTModel"],
    "vae": ["diffusers", "AutoencoderOobleck"],
}


def write(home: Path, frames: int = TRANSFORMER["sample_size"]) -> Path:
    """`stable-audio-open/` in `home`."""
    sizes = TRANSFORMER | {"sample_size": frames}
    folder = home / "stable-audio-open"
    tiny_t5.write(folder / "text_encoder", "relu")
    words = tiny_t5.tokenizer(model_max_length=networks.TOKENS)
    words.save_pretrained(folder / "tokenizer")
    (folder / "tokenizer" / "spiece.model").touch()
    (folder / "tokenizer" / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
    )
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    _write_part(folder / "scheduler", "scheduler_config.json", networks.SCHEDULER)
    made = {
        "transformer": (sizes, networks.build_transformer(sizes).state_dict()),
        "projection_model": (PROJECTION, networks.build_projection(PROJECTION).state_dict()),
    }
    for part, (settings, state) in made.items():
        _write_part(folder / part, "config.json", settings)
        save_file(draw(named(state)), folder / part / networks.WEIGHTS)
    _write_part(folder / "vae", "config.json", tiny_oobleck.SETTINGS)
    save_file(tiny_oobleck.tensors(), folder / "vae" / networks.WEIGHTS)
    return home


def _write_part(folder: Path, name: str, settings: dict[str, object]) -> None:
    folder.mkdir()
    (folder / name).write_text(json.dumps(settings))
