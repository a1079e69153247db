"""Whisper's decoder with room for every key and value beforehand: one step is always one work.

Fixed shapes and addresses are what a CUDA graph needs; the arithmetic is that of openai-whisper
(layers, order and precision), with query, key and value in one product.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Affine(NamedTuple):
    """x W^T + b."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Norm(NamedTuple):
    """Layer norm; the mean and variance are summed in float32 whatever the type of `x`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


def side_by_side(layers: list[Any], dtype: torch.dtype) -> Affine:
    """Several Linear layers of one input as one; a bias that is not there is zero."""
    # openai-whisper's keys have no bias: a constant for all keys changes no softmax.
    weights = [layer.weight for layer in layers]
    biases = [
        w.new_zeros(len(w)) if a.bias is None else a.bias
        for a, w in zip(layers, weights, strict=True)
    ]
    return Affine(torch.cat(weights).to(dtype), torch.cat(biases).to(dtype))


def norm(layer: Any, dtype: torch.dtype) -> Norm:
    return Norm(layer.weight.to(dtype), layer.bias.to(dtype))


class Block:
    """One layer. Keys and values: `own` [L, 2, H, D], and `heard` [2, 1, H, A, D] of the audio."""

    def __init__(self, block: Any, length: int, audio_length: int, dtype: torch.dtype) -> None:
        attn, cross = block.attn, block.cross_attn
        self.heads = attn.n_head
        self.attn_norm = norm(block.attn_ln, dtype)
        self.project = side_by_side([attn.query, attn.key, attn.value], dtype)
        self.attn_out = side_by_side([attn.out], dtype)
        self.cross_norm = norm(block.cross_attn_ln, dtype)
        self.query = side_by_side([cross.query], dtype)
        self.audio = side_by_side([cross.key, cross.value], dtype)
        self.cross_out = side_by_side([cross.out], dtype)
        self.mlp_norm = norm(block.mlp_ln, dtype)
        self.widen, self.narrow = (side_by_side([block.mlp[i]], dtype) for i in (0, 2))
        weight = self.query.weight
        depth = len(weight) // self.heads
        # Position first, so that one index_copy_ writes the key and the value of a token.
        self.own = weight.new_zeros(length, 2, self.heads, depth)
        self.heard = weight.new_zeros(2, 1, self.heads, audio_length, depth)

    def hear(self, features: Tensor) -> None:
        """Keep the keys and values of features [1, A, W]."""
        both = self.audio(features[0]).unflatten(-1, (2, self.heads, -1))
        self.heard.copy_(both.permute(1, 2, 0, 3)[:, None])

    def __call__(self, x: Tensor, at: Tensor, mask: Tensor) -> Tensor:
        """States [T, W] at the positions `at` [T]; `mask` [T, L] is added to the scores."""
        # Self-attention reads all L places of the cache: those not written yet are masked.
        projected = self.project(self.attn_norm(x)).unflatten(-1, (3, self.heads, -1))
        self.own.index_copy_(0, at, projected[:, 1:])
        query = projected[:, 0].transpose(0, 1)[None]
        key, value = (part.transpose(0, 1)[None] for part in self.own.unbind(1))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.attn_out(_join_heads(attended))
        # Cross-attention hears all of the audio: `hear` has projected it once for every step.
        query = self.query(self.cross_norm(x)).unflatten(-1, (self.heads, -1))
        attended = F.scaled_dot_product_attention(query.transpose(0, 1)[None], *self.heard)
        x = x + self.cross_out(_join_heads(attended))
        return x + self.narrow(F.gelu(self.widen(self.mlp_norm(x))))


def _join_heads(attended: Tensor) -> Tensor:
    """[1, H, T, D] to [T, H D]."""
    return attended[0].transpose(0, 1).flatten(1)


class StaticDecoder:
    """Greedy decoding of one utterance in two kinds of work: `begin`, then `step` by `step`.

    Both read and write tensors that stay where they are: `features` [1, A, W] in, `token` [1] out.
    `prompt` comes first; `never` are tokens that are never written, `not_first` not at once.
    """

    def __init__(
        self,
        network: Any,
        dtype: torch.dtype,
        prompt: tuple[int, ...],
        never: list[int],
        not_first: list[int],
    ) -> None:
        decoder, dims, device = network.decoder, network.dims, network.device
        # A multiple of 8, without which attention copies its mask at every call.
        length = -(-(len(prompt) + dims.n_text_ctx // 2) // 8) * 8
        self.blocks = [Block(b, length, dims.n_audio_ctx, dtype) for b in decoder.blocks]
        self.norm = norm(decoder.ln, dtype)
        self.embedding = decoder.token_embedding.weight.to(dtype)
        self.positions = decoder.positional_embedding.to(dtype)
        self.features = torch.zeros(
            1, dims.n_audio_ctx, dims.n_audio_state, dtype=dtype, device=device
        )
        self.prompt = torch.tensor(prompt, device=device)
        self.places = torch.arange(length, device=device)
        self.never = torch.zeros(dims.n_vocab, dtype=torch.bool, device=device)
        self.never[never] = True
        self.not_first = self.never.clone()
        self.not_first[not_first] = True
        self.token = torch.zeros(1, dtype=torch.int64, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        self.dtype = dtype

    def begin(self) -> None:
        """Hear `features`, read the prompt and write the first token."""
        for block in self.blocks:
            block.hear(self.features)
        # The whole prompt goes through at once; only its last state says what comes next.
        last = self._states(self.prompt, self.places[: len(self.prompt)])[-1:]
        self._write(last, self.not_first)
        self.at.fill_(len(self.prompt))

    def step(self) -> None:
        """Read the last token and write the next one."""
        self._write(self._states(self.token, self.at), self.never)
        self.at.add_(1)

    def _states(self, tokens: Tensor, at: Tensor) -> Tensor:
        """Last states [T, W] of tokens [T] at positions [T]."""
        x = F.embedding(tokens, self.embedding) + self.positions.index_select(0, at)
        # Later places hold an earlier utterance's keys, or none, and must not be seen.
        ahead = self.places[None] > at[:, None]
        mask = torch.zeros(ahead.shape, dtype=self.dtype, device=x.device)
        mask.masked_fill_(ahead, -torch.inf)
        for block in self.blocks:
            x = block(x, at, mask)
        return self.norm(x)

    def _write(self, state: Tensor, never: Tensor) -> None:
        """The most probable token of a state [1, W] that may be written."""
        # The output layer is the table of embeddings; openai-whisper compares in float32, too.
        logits = F.linear(state, self.embedding).float()
        # In place: a replayed graph reads and writes the same addresses every time.
        self.token.copy_(logits.masked_fill_(never, -torch.inf).argmax(-1))
