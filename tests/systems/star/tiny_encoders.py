"""Tiny HuBERT-Large, WavLM-Large and DAC at 24 kHz, in folders as transformers writes them."""

from pathlib import Path

import torch
from transformers import (
    DacConfig,
    DacModel,
    HubertConfig,
    HubertModel,
    PreTrainedModel,
    WavLMConfig,
    WavLMModel,
)

MODEL = "model.safetensors"
LARGE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
MODELS = {
    "hubert": lambda: HubertModel(HubertConfig(**LARGE, conv_bias=True)),
    "wavlm": lambda: WavLMModel(WavLMConfig(**LARGE)),
    "dac": lambda: DacModel(
        DacConfig(
            encoder_hidden_size=4,
            decoder_hidden_size=32,
            downsampling_ratios=[2, 4, 5, 8],
            n_codebooks=5,
            sampling_rate=24_000,
        )
    ),
}


def write(kind: str, folder: Path) -> PreTrainedModel:
    """Save a tiny seeded model in `folder` and return it; no value is where it began."""
    torch.manual_seed(3)
    model = MODELS[kind]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model
