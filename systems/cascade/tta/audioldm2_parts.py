"""What an AudioLDM 2 is made of: networks, tokenizers, scheduler and CLAP's front end."""

from collections.abc import Callable
from typing import Any, NamedTuple

NETWORKS = {
    "text_encoder": ("ClapModel",),
    "text_encoder_2": ("T5EncoderModel",),
    "projection_model": ("AudioLDM2ProjectionModel",),
    "language_model": ("GPT2LMHeadModel", "GPT2Model"),
    "unet": ("AudioLDM2UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "vocoder": ("SpeechT5HifiGan",),
}
"""Subfolder of a network and the classes that may have written it; the first one reads it.

The published folder says GPT2Model, whose weights are those of GPT2LMHeadModel: its head is tied
to the token embedding.
"""
SOUND = ("unet", "vae", "vocoder")
"""The networks that only `generate` needs."""
OTHERS = {
    "tokenizer": ("RobertaTokenizerFast", "RobertaTokenizer"),
    "tokenizer_2": ("T5TokenizerFast", "T5Tokenizer"),
    "feature_extractor": ("ClapFeatureExtractor",),
    "scheduler": ("DDIMScheduler",),
}


class AudioLdm2Parts(NamedTuple):
    """The loaded parts by the names of AudioLDM2Pipeline, so that `_asdict()` builds one.

    Those of SOUND are None until they are drawn, where weights are random.
    """

    text_encoder: Any
    text_encoder_2: Any
    projection_model: Any
    language_model: Any
    unet: Any
    vae: Any
    vocoder: Any
    tokenizer: Any
    tokenizer_2: Any
    feature_extractor: Any
    scheduler: Any


def reader(part: str) -> Callable[..., Any]:
    """The class that reads or builds a part, imported from where it lives."""
    import diffusers
    import transformers

    name = (NETWORKS | OTHERS)[part][0]
    library = transformers if hasattr(transformers, name) else diffusers
    return getattr(library, name)
