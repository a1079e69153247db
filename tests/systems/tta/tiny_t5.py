"""A tiny T5 in the layout of the hub: configuration, tokenizer, safetensors."""

import json
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from tests.systems.tta.tiny_weights import draw, named

WORDS = ("a", "the", "dog", "cat", "barks", "rain", "falls", "wind", "while", "car", "and", "on")
SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}


def tokenizer(model_max_length: int = 512) -> T5Tokenizer:
    """Whole words, and letters for all others."""
    words = [(f"\u2581{word}", -2.0) for word in WORDS]
    letters = [(letter, -8.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz"]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *words, *letters]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=model_max_length)


def config(feed_forward: str = "gated-gelu") -> T5Config:
    return T5Config(vocab_size=len(tokenizer()), feed_forward_proj=feed_forward, **SIZES)


def tensors(feed_forward: str = "gated-gelu") -> dict[str, Tensor]:
    """Of the encoder, the embedding under both of its names."""
    drawn = draw(named(T5EncoderModel(config(feed_forward)).state_dict()))
    return drawn | {"encoder.embed_tokens.weight": drawn["shared.weight"]}


def write(folder: Path, feed_forward: str = "gated-gelu") -> Path:
    """All files that the catalogue lists; the SentencePiece model, which nothing reads beside
    tokenizer.json, is empty."""
    folder.mkdir(parents=True)
    tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config(feed_forward).to_dict()))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "spiece.model").touch()
    kept = tensors(feed_forward)
    del kept["encoder.embed_tokens.weight"]
    # The published file is of the whole model: its decoder is not ours to read.
    kept["decoder.final_layer_norm.weight"] = kept["encoder.final_layer_norm.weight"].clone()
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
