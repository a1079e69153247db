"""Stable Audio Open's networks: from its folder in the layout of the hub, or random at its size.

Facts: huggingface/diffusers (scripts/convert_stable_audio.py, pipelines/stable_audio/
pipeline_stable_audio.py) and stable_audio_open_1_0.json of Stability-AI's model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from stabench.checkpoints.tensors import read_json, read_tensors
from stabench.systems.contract import Spans
from stabench.systems.tta import oobleck
from stabench.systems.tta.latent_diffusion import weights
from stabench.systems.tta.latent_diffusion.prompt import (
    T5_BASE,
    Reader,
    Tokenize,
    TokenizerFolder,
    random_reader,
    read_t5,
)

if TYPE_CHECKING:
    from diffusers.models import AutoencoderOobleck
    from transformers import T5EncoderModel

# Every text is padded to it, and the network reads the padding, as zeros.
TOKENS = 128
WEIGHTS = "diffusion_pytorch_model.safetensors"
# The published sizes.
TRANSFORMER: dict[str, Any] = {
    "sample_size": 1024,
    "in_channels": 64,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "num_key_value_attention_heads": 12,
    "out_channels": 64,
    "cross_attention_dim": 768,
    "time_proj_dim": 256,
    "global_states_input_dim": 1536,
    "cross_attention_input_dim": 768,
}
PROJECTION = {"text_encoder_dim": 768, "conditioning_dim": 768, "min_value": 0, "max_value": 512}
# What the sampler is written for; its scheduler_config.json may hold more.
SCHEDULER: dict[str, Any] = {
    "_class_name": "CosineDPMSolverMultistepScheduler",
    "sigma_min": 0.3,
    "sigma_max": 500,
    "sigma_data": 1.0,
    "sigma_schedule": "exponential",
    "solver_order": 2,
    "prediction_type": "v_prediction",
}


class StableText(NamedTuple):
    """One text: T5's states [1, TOKENS, W], and which of them are its own (bool [1, TOKENS])."""

    states: Tensor
    mask: Tensor


class StablePrompter:
    """Text to StableText: the padding is hidden from T5."""

    def __init__(self, tokenize: Tokenize, encoder: "T5EncoderModel") -> None:
        self.tokenize, self.encoder = tokenize, encoder

    @torch.inference_mode()
    def __call__(self, text: str, spans: Spans) -> StableText:
        """Marks "text_encoder"; there is no empty text, guidance is away from zeros."""
        with spans("text_encoder"):
            tokens = self.tokenize(text, TOKENS)
            mask = tokens.mask.to(self.encoder.device)
            output = self.encoder(input_ids=tokens.ids.to(self.encoder.device), attention_mask=mask)
            return StableText(output.last_hidden_state, mask)


class StableNetworks(NamedTuple):
    """What makes sound of a text; `projection` takes text and seconds to the same width."""

    transformer: Any
    projection: Any
    vae: "AutoencoderOobleck"

    def to(self, device: str, dtype: str) -> "StableNetworks":
        """Moved and cast, in place."""
        oobleck.place(self, device, dtype)
        return self


class Conditions(NamedTuple):
    """What all steps share for R rows: `context` [R, S, K] for cross-attention, zeros in the first
    half; `length` [R, 1, D], the token before the latents; `rotary` two of [1 + T, D']."""

    context: Tensor
    length: Tensor
    rotary: tuple[Tensor, Tensor]


def embed_seconds(projection: Any, duration_s: float) -> Tensor:
    """Return the two tokens [1, 2, W] of a sound from 0 s to `duration_s`."""
    device = next(projection.parameters()).device
    start, end = (torch.tensor([second], device=device) for second in (0.0, duration_s))
    tokens = projection(start_seconds=start, end_seconds=end)
    return torch.cat([tokens.seconds_start_hidden_states, tokens.seconds_end_hidden_states], 1)


def embed_times(transformer: Any, times: Tensor) -> Tensor:
    """Return embeddings [N, D] of times float32 [N] in 0 to 1; in float32 up to the matrices."""
    projection = transformer.time_proj
    # Its frequencies have the network's precision, in which the angles would be too coarse.
    angles = 2 * torch.pi * times.to(projection.weight.device)[:, None] * projection.weight.float()
    waves = torch.cat([angles.cos(), angles.sin()], -1)
    return transformer.timestep_proj(waves.to(projection.weight.dtype))


def rotate_frames(transformer: Any) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [1 + T, D'] of the positions of the latents and of their length."""
    from diffusers.models.embeddings import get_1d_rotary_pos_embed

    settings = transformer.config
    # Half of a head is turned.
    width, length = settings.attention_head_dim // 2, settings.sample_size + 1
    # Typed in diffusers as an array; it takes a tensor, and keeps its device.
    positions: Any = torch.arange(length, device=transformer.proj_in.weight.device)
    return get_1d_rotary_pos_embed(width, positions, use_real=True, repeat_interleave_real=False)


def condition(
    networks: StableNetworks,
    states: Tensor,
    mask: Tensor,
    seconds: Tensor,
    rotary: tuple[Tensor, Tensor],
) -> Conditions:
    """Return the conditions of T5 states [B, L, W] and their mask, for guidance: R = 2 B."""
    transformer, projection = networks.transformer, networks.projection
    text = projection.text_projection(states) * mask[..., None].to(states.dtype)
    rows = len(states)
    context = transformer.cross_attention_proj(torch.cat([text, seconds.expand(rows, -1, -1)], 1))
    length = transformer.global_proj(seconds.flatten(1)[:, None])
    # Zeros before the projection are zeros after it, which has no bias.
    return Conditions(
        torch.cat([torch.zeros_like(context), context]), length.expand(2 * rows, -1, -1), rotary
    )


def predict(transformer: Any, latents: Tensor, time: Tensor, conditions: Conditions) -> Tensor:
    """Return the network's output [R, C, T] at latents of that shape; `time` [D]."""
    mixed = (transformer.preprocess_conv(latents) + latents).transpose(1, 2)
    hidden = torch.cat([conditions.length + time, transformer.proj_in(mixed)], 1)
    for block in transformer.transformer_blocks:
        hidden = block(
            hidden, encoder_hidden_states=conditions.context, rotary_embedding=conditions.rotary
        )
    output = transformer.proj_out(hidden).transpose(1, 2)[..., 1:]
    return transformer.postprocess_conv(output) + output


def random_text(seed: int, dtype: str) -> Reader:
    """Return the full size, seeded."""
    return random_reader(T5_BASE, seed, dtype, TOKENS)


def random_sound(seed: int, dtype: str) -> StableNetworks:
    """Return the full size, seeded."""
    return StableNetworks(
        weights.drawn(build_transformer(TRANSFORMER), seed, dtype),
        weights.drawn(build_projection(PROJECTION), seed, dtype),
        weights.drawn(oobleck.build(oobleck.SETTINGS), seed, dtype),
    )


def build_transformer(settings: Mapping[str, Any]) -> Any:
    """Return diffusers' transformer on the meta device."""
    from diffusers.models import StableAudioDiTModel

    return weights.empty(lambda: StableAudioDiTModel.from_config(dict(settings)))


def build_projection(settings: Mapping[str, Any]) -> Any:
    """Return diffusers' projection of text and seconds on the meta device."""
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel

    return weights.empty(lambda: StableAudioProjectionModel.from_config(dict(settings)))


def read(folder: Path) -> tuple[Reader, StableNetworks]:
    """Return the networks of a folder in the layout of the hub, with its own T5.

    Every tensor is used once. ValueError names file and key.
    """
    _check_scheduler(folder / "scheduler" / "scheduler_config.json")
    words = TokenizerFolder(folder / "tokenizer", TOKENS)
    if words.tokenizer.model_max_length != TOKENS:
        raise ValueError(
            f"{folder / 'tokenizer'}: model_max_length is {words.tokenizer.model_max_length},"
            f" expected {TOKENS}, to which texts are padded; fetch it again"
        )
    parts = {
        "transformer": build_transformer,
        "projection_model": build_projection,
        "vae": oobleck.build,
    }
    networks = []
    for part, build in parts.items():
        file = folder / part / WEIGHTS
        network = build(read_json(folder / part / "config.json"))
        networks.append(weights.fill(network, read_tensors(file), file))
    return Reader(words, read_t5(folder / "text_encoder")), StableNetworks(*networks)


def _check_scheduler(path: Path) -> None:
    """Raise ValueError where a scheduler_config.json asks for another sampler than ours."""
    settings = read_json(path)
    for key, value in SCHEDULER.items():
        if settings.get(key, value) != value:
            raise ValueError(
                f"{path}: {key} is {settings[key]!r}, expected {value!r}; use the published one"
            )
