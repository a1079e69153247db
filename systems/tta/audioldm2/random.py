"""AudioLDM 2 at full size with seeded random weights: for latency, never for quality.

Sizes: configurations of cvssp/audioldm2 and audioldm2-large, and the conversion script of
diffusers (CLAP and FLAN-T5-large as published, GPT-2 small, HiFi-GAN of AudioLDM).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable
from zlib import crc32

import torch
from torch import Tensor, nn

from stabench.checkpoints import random_weights
from stabench.checkpoints.random_weights import Draws, randomise
from stabench.systems.tta.audioldm2.folder import NETWORKS, SOUND, AudioLdm2Parts, reader
from stabench.systems.tta.latent_diffusion.prompt import FLAN_T5_LARGE
from stabench.systems.tta.word_tokenizer import split

UNET_WIDTHS = {"base": (128, 256, 384, 640), "large": (192, 384, 576, 960)}
# The lengths that the published tokenizers pad to, and cut at.
CLAP_LENGTH, T5_LENGTH = 512, 128
ENCODER_ALONE: dict[str, Any] = {
    "is_encoder_decoder": False,
    "use_cache": False,
    "tie_word_embeddings": False,
}
LANGUAGE_MODEL: dict[str, Any] = {"max_new_tokens": 8}
PROJECTION = {"text_encoder_dim": 512, "text_encoder_1_dim": 1024, "langauge_model_dim": 768}
UNET: dict[str, Any] = {
    "sample_size": 256,
    "in_channels": 8,
    "out_channels": 8,
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": [[None, 768, 1024]] * 4,
}
VAE: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (128, 256, 512),
    "layers_per_block": 2,
    "latent_channels": 8,
}
VOCODER: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16_000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "normalize_before": False,
}
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


class StandInTokens(NamedTuple):
    """What a tokenizer returns: int64 [1, L] each."""

    input_ids: Tensor
    attention_mask: Tensor


class StandInTokenizer(NamedTuple):
    """In place of a tokenizer whose files are not at hand: one token a word, and the end mark.

    A published tokenizer makes somewhat more tokens of a text (1.2 or so a word). Ids are drawn
    from the words, padding is `pad`; `model_max_length` as in the published files.
    """

    model_max_length: int
    pad: int
    end: int
    vocabulary: int

    def __call__(
        self, texts: list[str], padding: str, max_length: int, **options: Any
    ) -> StandInTokens:
        """Of one text: ids and mask, padded to `max_length` if `padding` is "max_length"."""
        (text,) = texts
        low, high = max(self.pad, self.end) + 1, self.vocabulary
        words = [low + crc32(word.encode()) % (high - low) for word in split(text)]
        ids = [*words[: max_length - 1], self.end]
        filler = max_length - len(ids) if padding == "max_length" else 0
        mask = [1] * len(ids) + [0] * filler
        return StandInTokens(torch.tensor([ids + [self.pad] * filler]), torch.tensor([mask]))


def text_side(size: str, device: str, dtype: torch.dtype, seed: int = 0) -> AudioLdm2Parts:
    """All parts but SOUND on `device`, the weights drawn there; `size` is "base" or "large"."""
    names = tuple(name for name in NETWORKS if name not in SOUND)
    networks = _draw_networks(names, size, device, dtype, seed)
    return AudioLdm2Parts(**dict.fromkeys(SOUND), **networks, **_others())


def sound_side(size: str, device: str, dtype: torch.dtype, seed: int = 0) -> dict[str, nn.Module]:
    """The parts of SOUND."""
    return _draw_networks(SOUND, size, device, dtype, seed)


def hollow(names: tuple[str, ...], size: str) -> dict[str, nn.Module]:
    """The networks without weights, by the name of their part."""
    return {name: random_weights.hollow(partial(_build_network, name, size)) for name in names}


@runtime_checkable
class Ties(Protocol):
    """A network of transformers, in which several names may stand for one tensor."""

    def tie_weights(self) -> object: ...


def fill(network: nn.Module, part: str, device: str, dtype: torch.dtype, seed: int) -> None:
    """Give every parameter memory on `device` and a value, each from its own name and `seed`.

    Matrices and kernels are N(0, 1 / fan-in), which keeps activations near one; norms are one,
    biases zero. The values are the same on devices of one kind.
    """
    draws = Draws(seed, f"{part}.", device=device, dtype=dtype)
    float32_draws = draws._replace(dtype=torch.float32)
    # As transformers loads a network in float16: T5's output projections overflow in it.
    float32_parts: set[str] = set()
    if dtype == torch.float16:
        float32_parts |= set(getattr(network, "_keep_in_fp32_modules", None) or ())

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        in_float32 = not float32_parts.isdisjoint(name.split("."))
        return (float32_draws if in_float32 else draws)(name, shape)

    randomise(network, draw, every=True).requires_grad_(False)
    # Every name got a tensor of its own above; names that stand for one tensor share it again.
    if isinstance(network, Ties):
        network.tie_weights()
    network.to(device)
    # network.to(dtype) would also cast the parameters that are kept in float32.
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)


def _draw_networks(
    names: tuple[str, ...], size: str, device: str, dtype: torch.dtype, seed: int
) -> dict[str, nn.Module]:
    networks = hollow(names, size)
    for name, network in networks.items():
        fill(network, name, device, dtype, seed)
        network.eval()
    return networks


def _build_network(name: str, size: str) -> nn.Module:
    from transformers import (
        ClapConfig,
        GPT2Config,
        PreTrainedConfig,
        SpeechT5HifiGanConfig,
        T5Config,
    )

    configs: dict[str, Callable[[], PreTrainedConfig]] = {
        "text_encoder": ClapConfig,
        "text_encoder_2": lambda: T5Config(**FLAN_T5_LARGE, **ENCODER_ALONE),
        "language_model": lambda: GPT2Config(**LANGUAGE_MODEL),
        "vocoder": lambda: SpeechT5HifiGanConfig(**VOCODER),
    }
    settings: dict[str, dict[str, Any]] = {
        "projection_model": PROJECTION,
        "unet": UNET | {"block_out_channels": UNET_WIDTHS[size]},
        "vae": VAE,
    }
    if name in configs:
        return reader(name)(configs[name]())
    return reader(name)(**settings[name])


def _others() -> dict[str, Any]:
    """Scheduler, CLAP's front end and stand-ins for the tokenizers."""
    from diffusers import DDIMScheduler
    from transformers import ClapFeatureExtractor

    return {
        "tokenizer": StandInTokenizer(CLAP_LENGTH, pad=1, end=2, vocabulary=50_265),
        "tokenizer_2": StandInTokenizer(T5_LENGTH, pad=0, end=1, vocabulary=32_100),
        "feature_extractor": ClapFeatureExtractor(truncation="rand_trunc"),
        "scheduler": DDIMScheduler(**SCHEDULER),
    }
