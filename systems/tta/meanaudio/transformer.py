"""MeanAudio's network: a Flux-like transformer that predicts the mean velocity between two times.

Written from the facts of xiquan-li/MeanAudio (commit 8740a3e, MIT): in meanaudio/, networks.py,
transformer_layers.py, low_level.py and embeddings.py of model/, and ext/rotary_embeddings.py. Its
parameters have the names of the published checkpoints (arXiv 2508.06098).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Hidden widths of the gated layers are rounded up to a multiple of it.
MULTIPLE = 256
FREQUENCIES, LONGEST_PERIOD = 256, 10_000.0


@dataclass(frozen=True)
class FluxConfig:
    """`joint` blocks see latents and text, `fused` ones latents alone; the width is `heads` times
    `head_width`. Defaults: the published small model (120 M parameters by its README)."""

    heads: int = 7
    head_width: int = 64
    joint: int = 4
    fused: int = 8
    channels: int = 20
    text_width: int = 1024
    text_tokens: int = 77
    pooled_width: int = 512

    @property
    def width(self) -> int:
        """Width of every token."""
        return self.heads * self.head_width


class Conditions(NamedTuple):
    """What does not depend on latents and times: `text` [B, L, W] and `pooled` [B, 1, W]."""

    text: Tensor
    pooled: Tensor


class Rotations(NamedTuple):
    """Rotary angles of the `latent` [T, head_width / 2] and `text` [L, head_width / 2] tokens."""

    latent: Tensor
    text: Tensor


class Heads(NamedTuple):
    """Queries, keys and values, each [B, heads, T, head_width]."""

    query: Tensor
    key: Tensor
    value: Tensor


class TokenConv(nn.Conv1d):
    """A convolution over tokens [B, T, W] that keeps their number; the kernel is odd."""

    def __init__(self, width: int, out_width: int, kernel: int, bias: bool = True) -> None:
        super().__init__(width, out_width, kernel, padding=kernel // 2, bias=bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.transpose(1, 2)).transpose(1, 2)


def _layer(width: int, out_width: int, kernel: int, bias: bool) -> nn.Module:
    # Kernels of 1 are matrices in the checkpoints, not convolutions.
    if kernel == 1:
        return nn.Linear(width, out_width, bias=bias)
    return TokenConv(width, out_width, kernel, bias)


class Gated(nn.Module):
    """w2(silu(w1 x) * w3 x), each layer a convolution over `kernel` tokens."""

    def __init__(self, width: int, kernel: int = 1) -> None:
        super().__init__()
        # Two thirds of four times the width: as many weights as an ungated layer of four times.
        hidden = MULTIPLE * math.ceil(int(2 * 4 * width / 3) / MULTIPLE)
        self.w1 = _layer(width, hidden, kernel, bias=False)
        self.w2 = _layer(hidden, width, kernel, bias=False)
        self.w3 = _layer(width, hidden, kernel, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.w2(functional.silu(self.w1(tokens)) * self.w3(tokens))


class Attention(nn.Module):
    """Queries, keys and values of tokens; queries and keys normed head by head, then rotated."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.RMSNorm(width // heads)
        self.k_norm = nn.RMSNorm(width // heads)

    def forward(self, tokens: Tensor, angles: Tensor) -> Heads:
        # The three lie side by side for each feature of each head, not one after another.
        parts = self.qkv(tokens).unflatten(2, (self.heads, -1, 3)).transpose(1, 2)
        query, key, value = parts.unbind(-1)
        return Heads(rotate(self.q_norm(query), angles), rotate(self.k_norm(key), angles), value)


class Block(nn.Module):
    """Attention and a gated layer, both modulated by the condition; `kernel` tokens wide.

    A `last` text block is read by the latents and goes no further: it has neither.
    """

    def __init__(self, width: int, heads: int, kernel: int, last: bool = False) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.last = last
        if not last:
            self.linear1 = _layer(width, width, kernel, bias=True)
            self.ffn = Gated(width, kernel)
        modulations = (2 if last else 6) * width
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, modulations))

    def project(self, tokens: Tensor, condition: Tensor, angles: Tensor) -> tuple[Heads, Tensor]:
        """Return what the tokens [B, T, W] attend with, and the modulation for `finish`."""
        modulation = self.adaLN_modulation(condition)
        shift, scale = modulation.chunk(2 if self.last else 6, dim=-1)[:2]
        return self.attn(modulate(tokens, shift, scale), angles), modulation

    def finish(self, tokens: Tensor, attended: Tensor, modulation: Tensor) -> Tensor:
        """Return the block's tokens [B, T, W] after attention gave `attended` [B, T, W]."""
        if self.last:
            return tokens
        _, _, gate, shift, scale, gate_ffn = modulation.chunk(6, dim=-1)
        tokens = tokens + self.linear1(attended) * gate
        return tokens + self.ffn(modulate(tokens, shift, scale)) * gate_ffn

    def forward(self, tokens: Tensor, condition: Tensor, angles: Tensor) -> Tensor:
        heads, modulation = self.project(tokens, condition, angles)
        return self.finish(tokens, attend(heads), modulation)


class JointBlock(nn.Module):
    """Latents and text attend to both together, with weights of their own."""

    def __init__(self, width: int, heads: int, last: bool) -> None:
        super().__init__()
        self.latent_block = Block(width, heads, kernel=3)
        self.text_block = Block(width, heads, kernel=1, last=last)

    def forward(
        self, latent: Tensor, text: Tensor, condition: Tensor, rotations: Rotations
    ) -> tuple[Tensor, Tensor]:
        heads, modulation = self.latent_block.project(latent, condition, rotations.latent)
        text_heads, text_modulation = self.text_block.project(text, condition, rotations.text)
        joined = Heads(*(torch.cat(pair, 2) for pair in zip(heads, text_heads, strict=True)))
        attended, text_attended = attend(joined).split([latent.shape[1], text.shape[1]], dim=1)
        return (
            self.latent_block.finish(latent, attended, modulation),
            self.text_block.finish(text, text_attended, text_modulation),
        )


class TimeEmbedding(nn.Module):
    """Times [B] in 0 to 1, as they are (not times 1000), to [B, 1, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, times: Tensor) -> Tensor:
        weight = self.get_parameter("mlp.0.weight")
        angles = times[:, None].to(_exact(weight)) * _frequencies(FREQUENCIES, weight)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], 1).to(weight.dtype))[:, None]


class FinalLayer(nn.Module):
    """Tokens [B, T, W] to latents [B, T, C], modulated by the condition."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.conv = TokenConv(width, channels, 7)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        return self.conv(modulate(tokens, *self.adaLN_modulation(condition).chunk(2, dim=-1)))


class MeanFlowTransformer(nn.Module):
    """u(z, r, t): the velocity along the path from time t down to r, on average.

    Buffers come with a checkpoint: mean and deviation of the VAE's latents, and what the text
    encoders make of the empty text.
    """

    latent_mean: Tensor
    latent_std: Tensor
    empty_string_feat: Tensor
    empty_string_feat_c: Tensor

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.audio_input_proj = nn.Sequential(
            TokenConv(config.channels, width, 7), nn.SELU(), Gated(width, kernel=7)
        )
        self.text_input_proj = nn.Sequential(nn.Linear(config.text_width, width), Gated(width))
        self.text_cond_proj = nn.Sequential(nn.Linear(config.pooled_width, width), Gated(width))
        self.t_embed, self.r_embed = TimeEmbedding(width), TimeEmbedding(width)
        self.joint_blocks = nn.ModuleList(
            JointBlock(width, config.heads, last=index == config.joint - 1)
            for index in range(config.joint)
        )
        self.fused_blocks = nn.ModuleList(
            Block(width, config.heads, kernel=3) for _ in range(config.fused)
        )
        self.final_layer = FinalLayer(width, config.channels)
        self.register_buffer("latent_mean", torch.zeros(1, 1, config.channels))
        self.register_buffer("latent_std", torch.ones(1, 1, config.channels))
        empty = torch.zeros(config.text_tokens, config.text_width)
        self.register_buffer("empty_string_feat", empty)
        self.register_buffer("empty_string_feat_c", torch.zeros(config.pooled_width))

    def rotations(self, frames: int) -> Rotations:
        """Return the angles for latents of `frames` tokens, on the network's device."""
        frequencies = _frequencies(self.config.head_width, self.latent_mean)
        text, latent = (
            torch.arange(length, device=frequencies.device)[:, None] * frequencies
            for length in (self.config.text_tokens, frames)
        )
        return Rotations(latent=latent, text=text)

    def conditions(self, states: Tensor, pooled: Tensor) -> Conditions:
        """Return what all steps share, of T5's states [B, L, 1024] and CLAP's rows [B, 512]."""
        return Conditions(self.text_input_proj(states), self.text_cond_proj(pooled)[:, None])

    def forward(
        self,
        latent: Tensor,
        start: Tensor,
        end: Tensor,
        conditions: Conditions,
        rotations: Rotations,
    ) -> Tensor:
        """Return the mean velocity [B, T, C] of `latent` [B, T, C] between the times `start` (t)
        and `end` (r), each [1] or [B]."""
        condition = self.t_embed(start) + self.r_embed(end) + conditions.pooled
        tokens, text = self.audio_input_proj(latent), conditions.text
        for joint in self.joint_blocks:
            tokens, text = joint(tokens, text, condition, rotations)
        for fused in self.fused_blocks:
            tokens = fused(tokens, condition, rotations.latent)
        return self.final_layer(tokens, condition)


def attend(heads: Heads) -> Tensor:
    """Return the attention's output [B, T, W], the heads side by side."""
    return functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return the normed tokens [B, T, W], scaled by 1 + `scale` and shifted, each [B, 1, W]."""
    return functional.layer_norm(tokens, tokens.shape[-1:]) * (1 + scale) + shift


def rotate(tokens: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring pairs of features [B, heads, T, W] by `angles` [T, W / 2].

    In the precision of the angles, as the original does.
    """
    first, second = tokens.to(angles.dtype).unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    turned = torch.stack([cos * first - sin * second, sin * first + cos * second], -1)
    return turned.flatten(-2).to(tokens.dtype)


def _frequencies(count: int, like: Tensor) -> Tensor:
    """Return count / 2 falling frequencies, 1 and below."""
    steps = torch.arange(0, count, 2, device=like.device, dtype=_exact(like)) / count
    return LONGEST_PERIOD**-steps


def _exact(weight: Tensor) -> torch.dtype:
    """Return the precision of angles: at least float32, whatever the network's."""
    return torch.promote_types(weight.dtype, torch.float32)
