"""Attention of the UDiT: per-head normalised queries and keys, rotary positions, cached context."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 10_000.0


class RotaryTable(NamedTuple):
    """Rotation factors, float32 [T, 1, head width]; `sine` carries the sign of rotate-half."""

    cosine: Tensor
    sine: Tensor

    def rotate(self, heads: Tensor) -> Tensor:
        """Rotate [B, T, heads, head width] by position, in float32, and return its dtype."""
        # (a, b) to (a cos - b sin, b cos + a sin): rolling swaps the halves, `sine` has the signs.
        swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
        return torch.addcmul(heads * self.cosine, swapped, self.sine).to(heads.dtype)


class KeysValues(NamedTuple):
    """Projected context of one block: `keys` and `values`, both [B, heads, S, head width]."""

    keys: Tensor
    values: Tensor


def rotary_frequencies(head_width: int) -> Tensor:
    """Angles per position, float32 [head width / 2]."""
    return ROTARY_BASE ** -(torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)


@torch.inference_mode(False)
def rotary_table(head_width: int, length: int, device: torch.device) -> RotaryTable:
    """Factors for positions 0 .. length - 1; usable in training even if made while sampling."""
    frequencies = rotary_frequencies(head_width).to(device)
    positions = torch.arange(length, device=device, dtype=torch.float32)
    angles = torch.outer(positions, frequencies)[:, None, :]
    cosine, sine = angles.cos(), angles.sin()
    return RotaryTable(torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1))


class Rotary(nn.Module):
    """Holds `rotary.inv_freq`, which checkpoints carry per block. It is not read: a cast of the
    module to half precision would spoil it, so `rotary_table` computes its own in float32."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", rotary_frequencies(head_width))


class _Attention(nn.Module):
    """Projections shared by both attentions: q, k, v without bias, output with bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        head_width = width // heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.norm_q = nn.LayerNorm(head_width)
        self.norm_k = nn.LayerNorm(head_width)
        self.proj = nn.Linear(width, width)

    def split(self, projected: Tensor) -> Tensor:
        """[B, T, width] to [B, T, heads, head width]."""
        return projected.unflatten(-1, (self.heads, -1))

    def attend(self, queries: Tensor, context: KeysValues, mask: Tensor | None) -> Tensor:
        """Queries [B, heads, T, head width]; `mask` is bool [B, 1, 1, S], True where valid."""
        mixed = functional.scaled_dot_product_attention(queries, *context, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class SelfAttention(_Attention):
    """Attention among latent frames, with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.rotary = Rotary(width // heads)

    def forward(self, frames: Tensor, table: RotaryTable, mask: Tensor | None) -> Tensor:
        """[B, T, width] to the same shape."""
        queries = table.rotate(self.norm_q(self.split(self.to_q(frames)))).transpose(1, 2)
        keys = table.rotate(self.norm_k(self.split(self.to_k(frames)))).transpose(1, 2)
        values = self.split(self.to_v(frames)).transpose(1, 2)
        return self.attend(queries, KeysValues(keys, values), mask)


class CrossAttention(_Attention):
    """Attention from latent frames to context tokens, without positions."""

    def project(self, context: Tensor) -> KeysValues:
        """Keys and values of a context [B, S, width]: constant over sampling steps."""
        keys = self.norm_k(self.split(self.to_k(context))).transpose(1, 2)
        return KeysValues(keys, self.split(self.to_v(context)).transpose(1, 2))

    def forward(self, frames: Tensor, context: KeysValues, mask: Tensor | None) -> Tensor:
        """[B, T, width] to the same shape."""
        queries = self.norm_q(self.split(self.to_q(frames))).transpose(1, 2)
        return self.attend(queries, context, mask)
