"""A tiny AudioLDM 2 in the layout of the hub, seeded: 16 kHz, real classes, real file names."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

WORDS = "a dog barks while heavy rain falls and the bell of an old church rings twice"
LENGTH = 77
"""What the CLAP tokenizer pads to; 512 in the published one."""


def build(folder: Path, seed: int = 0) -> None:
    """Write the folder: model_index.json says GPT2Model, as the published one does."""
    from diffusers import AudioLDM2Pipeline

    pipeline = AudioLDM2Pipeline(**networks(seed), **tokenizers(), **side())
    pipeline.save_pretrained(folder)
    as_published(folder, pipeline.language_model)


def as_published(folder: Path, language_model: Any) -> None:
    """The language model without its head, under the name of the headless class."""
    language_model.transformer.save_pretrained(folder / "language_model")
    index = json.loads((folder / "model_index.json").read_text())
    index["language_model"] = ["transformers", "GPT2Model"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def networks(seed: int) -> dict[str, nn.Module]:
    """All seven, evaluating, of one seed."""
    torch.manual_seed(seed)
    parts = {**text_side(), **sound_side()}
    for part in parts.values():
        part.eval()
    with torch.no_grad():
        for name, value in parts["vocoder"].named_parameters():
            # The default initialisation whispers at 1e-12.
            value.normal_(0.0, 0.02 if name.endswith("bias") else 1.1 / value[0].numel() ** 0.5)
    return parts


CLAP_TEXT = {
    "vocab_size": 400,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH + 3,
    "pad_token_id": 1,
    "projection_dim": 16,
}
CLAP_AUDIO = {
    "spec_size": 256,
    "window_size": 8,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "projection_dim": 16,
}
T5 = {
    "vocab_size": 200,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 37,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "use_cache": False,
}
GPT2 = {
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "vocab_size": 64,
    "n_positions": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_new_tokens": 8,
}


def text_side() -> dict[str, nn.Module]:
    """CLAP, FLAN-T5, the projection and GPT-2."""
    import transformers
    from diffusers import AudioLDM2ProjectionModel

    clap = transformers.ClapConfig(
        text_config=CLAP_TEXT, audio_config=CLAP_AUDIO, projection_dim=16
    )
    return {
        "text_encoder": transformers.ClapModel(clap),
        "text_encoder_2": transformers.T5EncoderModel(transformers.T5Config(**T5)),
        "projection_model": AudioLDM2ProjectionModel(16, 32, 16),
        "language_model": transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)),
    }


def sound_side() -> dict[str, nn.Module]:
    """UNet, VAE and vocoder."""
    from diffusers import AudioLDM2UNet2DConditionModel, AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    unet = AudioLDM2UNet2DConditionModel(
        sample_size=16,
        in_channels=8,
        out_channels=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=[[None, 16, 32], [None, 16, 32]],
    )
    vae = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=8,
        norm_num_groups=8,
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=0.41,
    )
    vocoder = SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16_000,
        upsample_initial_channel=32,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        normalize_before=False,
    )
    return {"unet": unet, "vae": vae, "vocoder": SpeechT5HifiGan(vocoder)}


def tokenizers() -> dict[str, Any]:
    """Byte-level BPE and Unigram, both trained on `WORDS`."""
    return {"tokenizer": roberta(), "tokenizer_2": t5()}


def roberta() -> Any:
    """CLAP's."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizer

    trained = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator([WORDS], 400, special_tokens=specials, show_progress=False)
    state = json.loads(trained._tokenizer.to_str())["model"]
    merges = [
        tuple(pair) if isinstance(pair, list) else tuple(pair.split(" "))
        for pair in state["merges"]
    ]
    return RobertaTokenizer(vocab=state["vocab"], merges=merges, model_max_length=LENGTH)


def t5() -> Any:
    """FLAN-T5's."""
    from tokenizers import SentencePieceUnigramTokenizer
    from transformers import T5Tokenizer

    trained = SentencePieceUnigramTokenizer()
    trained.train_from_iterator(
        [WORDS],
        60,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    state = json.loads(trained._tokenizer.to_str())["model"]
    vocab = [(piece, score) for piece, score in state["vocab"]]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=128)


def side() -> dict[str, Any]:
    """Scheduler as published, and CLAP's front end."""
    from diffusers import DDIMScheduler
    from transformers import ClapFeatureExtractor

    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return {
        "scheduler": scheduler,
        "feature_extractor": ClapFeatureExtractor(truncation="rand_trunc"),
    }
