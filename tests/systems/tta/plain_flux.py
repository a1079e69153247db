"""TangoFlux's velocity in plain torch, from the equations, on the names of its published file.

FLUX (black-forest-labs) has joint blocks, in which text and latents have weights of their own and
attend together, and single blocks, in which they share them; both are modulated by one vector.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softmax

AXES = (16, 56, 56)
EPSILON = 1e-6


class PlainFlux:
    """`state` float64 tensors by their published names, `config` the published config.json."""

    def __init__(self, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        self.state, self.config = state, config
        self.heads = config["num_attention_heads"]

    def velocity(
        self, states: Tensor, live: Tensor, share: float, latents: Tensor, time: float
    ) -> Tensor:
        """[R, T, C] of text states [R, L, W], of which `live` are tokens; `share` is the duration
        as a share of the longest, `time` 1 for noise."""
        mean = torch.stack([row[mask].mean(0) for row, mask in zip(states, live, strict=True)])
        summary = torch.relu(self.linear("fc.0", mean))
        name = "transformer.time_text_embed"
        vector = self.mlp(f"{name}.timestep_embedder", self.waves(time)) + self.mlp(
            f"{name}.text_embedder", summary
        )
        length = self.duration(share).expand(len(states), 1, -1)
        text = self.linear("transformer.context_embedder", torch.cat([states, length], 1))
        sound = self.linear("transformer.x_embedder", latents)
        tokens = text.shape[1]
        angles = self.angles(tokens, sound.shape[1])
        for index in range(self.config["num_layers"]):
            text, sound = self.joint(
                f"transformer.transformer_blocks.{index}", text, sound, vector, angles
            )
        both = torch.cat([text, sound], 1)
        for index in range(self.config["num_single_layers"]):
            both = self.single(
                f"transformer.single_transformer_blocks.{index}", both, vector, angles
            )
        scale, shift = self.linear("transformer.norm_out.linear", silu(vector)).chunk(2, -1)
        out = norm(both[:, tokens:]) * (1 + scale[:, None]) + shift[:, None]
        return self.linear("transformer.proj_out", out)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def mlp(self, name: str, x: Tensor) -> Tensor:
        return self.linear(f"{name}.linear_2", silu(self.linear(f"{name}.linear_1", x)))

    def waves(self, time: float) -> Tensor:
        """Cosines then sines of 128 frequencies at 1000 t, in float32."""
        frequencies = torch.exp(-math.log(10_000) * torch.arange(128, dtype=torch.float32) / 128)
        angles = (torch.tensor([time]) * 1000)[:, None] * frequencies
        return torch.cat([angles.cos(), angles.sin()], -1).double()

    def duration(self, share: float) -> Tensor:
        name = "duration_emebdder.time_positional_embedding"
        angles = 2 * math.pi * share * self.state[f"{name}.0.weights"]
        row = torch.cat([torch.tensor([share]).double(), angles.sin(), angles.cos()])
        return self.linear(f"{name}.1", row)[None, None]

    def angles(self, tokens: int, frames: int) -> Tensor:
        """[L + T, head width / 2]: 0 for text; for latents the time along each of three axes."""
        turns = [
            torch.outer(
                torch.arange(frames, dtype=torch.float64),
                10_000.0 ** -(torch.arange(0, axis, 2, dtype=torch.float64) / axis),
            )
            for axis in AXES
        ]
        return torch.cat([torch.zeros(tokens, sum(AXES) // 2).double(), torch.cat(turns, -1)])

    def attend(self, parts: list[tuple[str, Tensor, tuple[str, ...]]], angles: Tensor) -> Tensor:
        """[R, L + T, D] of parts that attend together: a name, its rows, its five layers."""
        queries, keys, values = [], [], []
        for name, rows, (query, key, value, norm_q, norm_k) in parts:
            queries.append(self.head(name, query, rows, norm_q))
            keys.append(self.head(name, key, rows, norm_k))
            values.append(self.linear(f"{name}.{value}", rows).unflatten(-1, (self.heads, -1)))
        turned = [turn(torch.cat(each, 1), angles).transpose(1, 2) for each in (queries, keys)]
        scores = turned[0] @ turned[1].transpose(2, 3) / math.sqrt(sum(AXES))
        mixed = softmax(scores, -1) @ torch.cat(values, 1).transpose(1, 2)
        return mixed.transpose(1, 2).flatten(2)

    def head(self, name: str, layer: str, rows: Tensor, gain: str) -> Tensor:
        x = self.linear(f"{name}.{layer}", rows).unflatten(-1, (self.heads, -1))
        size = (x.square().mean(-1, keepdim=True) + EPSILON).sqrt()
        return x / size * self.state[f"{name}.{gain}.weight"]

    def joint(self, name: str, text: Tensor, sound: Tensor, vector: Tensor, angles: Tensor):
        sides = {"": sound, "_context": text}
        rows = {
            side: [
                each[:, None]
                for each in self.linear(f"{name}.norm1{side}.linear", silu(vector)).chunk(6, -1)
            ]
            for side in sides
        }
        ready = {side: norm(x) * (1 + rows[side][1]) + rows[side][0] for side, x in sides.items()}
        layers = ("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k")
        own = ("to_q", "to_k", "to_v", "norm_q", "norm_k")
        parts = [(f"{name}.attn", ready["_context"], layers), (f"{name}.attn", ready[""], own)]
        mixed = self.attend(parts, angles)
        tokens = text.shape[1]
        out = {
            "": self.linear(f"{name}.attn.to_out.0", mixed[:, tokens:]),
            "_context": self.linear(f"{name}.attn.to_add_out", mixed[:, :tokens]),
        }
        for side, x in sides.items():
            _, _, gate, shift, scale, gate_mlp = rows[side]
            x = x + gate * out[side]
            inner = norm(x) * (1 + scale) + shift
            net = f"{name}.ff{side}.net"
            sides[side] = x + gate_mlp * self.linear(
                f"{net}.2", gelu(self.linear(f"{net}.0.proj", inner))
            )
        return sides["_context"], sides[""]

    def single(self, name: str, both: Tensor, vector: Tensor, angles: Tensor) -> Tensor:
        rows = self.linear(f"{name}.norm.linear", silu(vector)).chunk(3, -1)
        shift, scale, gate = (each[:, None] for each in rows)
        ready = norm(both) * (1 + scale) + shift
        own = ("to_q", "to_k", "to_v", "norm_q", "norm_k")
        mixed = self.attend([(f"{name}.attn", ready, own)], angles)
        inner = gelu(self.linear(f"{name}.proj_mlp", ready))
        return both + gate * self.linear(f"{name}.proj_out", torch.cat([mixed, inner], -1))


def turn(heads: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring pairs of [R, L, heads, width] by their angle, in float32."""
    even, odd = heads.float()[..., ::2], heads.float()[..., 1::2]
    cosine, sine = angles.cos().float()[:, None], angles.sin().float()[:, None]
    pairs = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], -1)
    return pairs.flatten(-2).double()


def norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + EPSILON).sqrt()


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def gelu(x: Tensor) -> Tensor:
    """The approximation by tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
