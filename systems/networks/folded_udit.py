"""The UDiT for sampling on a CPU: what is constant over clips goes into its weights beforehand.

The same velocities but for rounding, in three quarters of the time at the size of a small model,
where a step is hundreds of operations on little data. Next to UDiT.step with guidance:

- AdaLN's shift and scale become weight and bias of the norm before them, one pair a step;
- queries and keys leave their projections centred, so that a root of mean squares normalises them;
- its weights and biases, the scale of attention and the rotation are one table;
- the null context's tokens are all alike: reading them adds a constant, and attends to nothing;
- both halves of guidance are one until the first context is read, and again after the last norm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stabench.systems.networks.attention import RotaryTable, rotary_table
from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.flow_sampler import Velocity, modulations
from stabench.systems.networks.udit import Block, UDiT


class Norm(NamedTuple):
    """A layer norm with a weight and a bias [D] for each step."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    eps: float

    def __call__(self, frames: Tensor, step: int) -> Tensor:
        weight = self.weights[step]
        return torch.layer_norm(frames, weight.shape, weight, self.biases[step], self.eps)


class Linear(NamedTuple):
    """Rows [N, in] to [N, out]. Laid out for a product from the left: a tenth faster."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> "Linear":
        """With the weight [out, in] and the bias of a module."""
        return cls(weight.t().contiguous(), bias)

    def __call__(self, rows: Tensor) -> Tensor:
        return torch.addmm(self.bias, rows, self.weight)


class Context(NamedTuple):
    """What one block reads: `keys` [B heads, head width, S], `values` [B heads, S, head width] and
    what is added to the scores, [B heads, 1, S]."""

    keys: Tensor
    values: Tensor
    bias: Tensor


class Rotation(NamedTuple):
    """Normalised queries and keys [B, T, 2, heads, head width] to rotated ones; [T, 2, 1, width].

    With weights and biases of their norms, and the scale of attention in the queries.
    """

    cosine: Tensor
    sine: Tensor
    offset: Tensor

    def __call__(self, heads: Tensor) -> Tensor:
        swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
        return torch.addcmul(self.offset, heads, self.cosine).addcmul_(swapped, self.sine)


class FoldedUDiT:
    """The guided velocity field of a UDiT over the schedule of `config`, float32 on the CPU.

    It shares the UDiT's weights or copies them: build it anew when they change.
    """

    def __init__(self, udit: UDiT, config: SamplerConfig, latent_frames: int) -> None:
        self.udit, self.guidance = udit, config.guidance
        steps = modulations(udit, config)
        head_width = udit.config.width // udit.config.heads
        tokens = latent_frames // udit.config.patch_size
        table = rotary_table(head_width, tokens, steps.final.device)
        null = udit.context_embed(steps.final.new_zeros(1, 1, udit.config.context_width))
        self.blocks = [
            FoldedBlock(block, of_block, table, null)
            for block, of_block in zip(udit.blocks, steps.blocks, strict=True)
        ]
        self.norm = modulated(udit.final_block.norm, *steps.final)

    def velocity(self, context: Tensor, mask: Tensor | None) -> Velocity:
        """v_null + w (v_context - v_null) given context [B, S, W] and its mask bool [B, S]."""
        embedded = self.udit.context_embed(context)
        contexts = [block.context(embedded, mask) for block in self.blocks]
        return lambda latent, step: self._velocity(latent, step, contexts)

    def _velocity(self, latent: Tensor, step: int, contexts: Sequence[Context]) -> Tensor:
        guided, middle = self.guidance != 1.0, len(self.blocks) // 2
        patches = self.udit.patch_embed(latent)
        frames = patches.flatten(0, 1)
        skips: list[Tensor] = []
        for number, (block, context) in enumerate(zip(self.blocks, contexts, strict=True)):
            if number > middle:
                frames = block.merge(frames, skips.pop())
            frames = block.mix(frames, step)
            # Up to here no context was read, so that both halves of guidance were one.
            if guided and number == 0:
                frames = torch.cat([frames, frames])
            frames = block.feed(block.read(frames, context, guided), step)
            if number < middle:
                skips.append(frames)
        frames = self.norm(frames, step)
        if guided:
            # The head is affine: guiding what it reads guides what it writes, for half the work.
            null, conditional = frames.chunk(2)
            frames = torch.lerp(null, conditional, self.guidance)
        return self.udit.final_block.unfold(frames.view(patches.shape))


class FoldedBlock:
    """A Block with the modulations [6, N, 1, D] of N steps; `null` is the null context's token.

    Frames are rows [B T, D] here.
    """

    def __init__(self, block: Block, steps: Tensor, table: RotaryTable, null: Tensor) -> None:
        shift1, scale1, gate1, shift2, scale2, gate2 = steps
        mixing, reading = block.attn, block.cross_attn
        self.block, self.merge = block, block.merge
        self.tokens = table.cosine.shape[0]
        self.heads = (mixing.heads, block.norm1.weight.shape[0] // mixing.heads)
        self.norm1 = modulated(block.norm1, shift1, scale1)
        self.norm3 = modulated(block.norm3, shift2, scale2)
        self.gates1, self.gates2 = gate1.unbind(0), gate2.unbind(0)
        # A layer norm first takes the mean off: here the projection leaves none to take.
        queries, keys = (centred(each, mixing.heads) for each in (mixing.to_q, mixing.to_k))
        self.qkv = torch.cat([queries, keys, mixing.to_v.weight]).t().contiguous()
        self.normalise1 = RootMeanSquare(mixing.norm_q)
        self.rotate = rotation(table, mixing.norm_q, mixing.norm_k)
        self.mixed = Linear.of(mixing.proj.weight, mixing.proj.bias)
        self.query = centred(reading.to_q, reading.heads).t().contiguous()
        self.normalise2 = RootMeanSquare(reading.norm_q)
        self.project_read = Linear.of(reading.proj.weight, reading.proj.bias)
        # Attention over equal tokens returns their value, whatever the weights are.
        self.null = reading.proj(reading.to_v(block.norm_context(null)))[0]
        mlp = block.mlp.net.get_parameter
        up, bias = mlp("0.proj.weight"), mlp("0.proj.bias")
        self.value, self.gate = map(Linear.of, up.chunk(2), bias.chunk(2))
        self.down = Linear.of(mlp("2.weight"), mlp("2.bias"))

    def context(self, embedded: Tensor, mask: Tensor | None) -> Context:
        """Of context tokens [B, S, D] and their mask bool [B, S]."""
        norm = self.block.cross_attn.norm_q
        scale = self.heads[1] ** -0.5
        keys, values = (each.flatten(0, 1) for each in self.block.project(embedded))
        # (w q + b) k scale = q (w k scale) + b k scale: the norm of the queries goes into the keys.
        bias = torch.matmul(keys, norm.bias * scale)[:, None]
        if mask is not None:
            outside = ~mask.repeat_interleave(self.heads[0], 0)[:, None]
            bias = bias.masked_fill(outside, -torch.inf)
        return Context((keys * (norm.weight * scale)).transpose(1, 2), values, bias)

    def mix(self, frames: Tensor, step: int) -> Tensor:
        """Self-attention."""
        qkv = torch.mm(self.norm1(frames, step), self.qkv).view(-1, self.tokens, 3, *self.heads)
        turned = self.rotate(self.normalise1(qkv[:, :, :2])).permute(2, 0, 3, 1, 4)
        queries, keys = turned.reshape(2, -1, self.tokens, self.heads[1])
        values = qkv[:, :, 2].transpose(1, 2).reshape(keys.shape)
        mixed = torch.bmm(torch.bmm(queries, keys.transpose(1, 2)).softmax(-1), values)
        return torch.addcmul(frames, self.mixed(self._rows(mixed)), self.gates1[step])

    def read(self, frames: Tensor, context: Context, guided: bool) -> Tensor:
        """Cross-attention, in place; of the latter half where guided, the other reads nothing."""
        conditional = frames
        if guided:
            # Both are views of `frames`, which is therefore changed in place.
            null, conditional = frames.chunk(2)
            null += self.null
        queries = torch.mm(self.block.norm2(conditional), self.query)
        queries = self.normalise2(queries.view(-1, self.tokens, *self.heads)).transpose(1, 2)
        queries = queries.reshape(-1, self.tokens, self.heads[1])
        scores = torch.baddbmm(context.bias, queries, context.keys)
        conditional += self.project_read(self._rows(torch.bmm(scores.softmax(-1), context.values)))
        return frames

    def feed(self, frames: Tensor, step: int) -> Tensor:
        """The MLP."""
        inner = self.norm3(frames, step)
        # torch.nn.functional has no GELU in place.
        gate = torch.ops.aten.gelu_(self.gate(inner))
        return torch.addcmul(frames, self.down(self.value(inner).mul_(gate)), self.gates2[step])

    def _rows(self, mixed: Tensor) -> Tensor:
        """[B heads, T, head width] to [B T, D]."""
        heads, width = self.heads
        return mixed.view(-1, heads, self.tokens, width).transpose(1, 2).reshape(-1, heads * width)


class RootMeanSquare:
    """`norm` of heads [..., head width] with mean zero, before its weight and bias."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self.share = 1 / norm.weight.shape[0]
        self.eps = norm.weight.new_tensor(norm.eps)

    def __call__(self, heads: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(heads, dim=-1, keepdim=True)
        return heads * torch.addcmul(self.eps, length, length, value=self.share).rsqrt_()


def modulated(norm: nn.LayerNorm, shift: Tensor, scale: Tensor) -> Norm:
    """`norm`, then times `scale` and plus `shift`, both [N, 1, D]."""
    weight = (norm.weight * scale).flatten(0, 1)
    bias = torch.addcmul(shift, norm.bias, scale).flatten(0, 1)
    return Norm(weight.unbind(0), bias.unbind(0), norm.eps)


def centred(projection: nn.Linear, heads: int) -> Tensor:
    """The weight whose outputs have mean zero within each head."""
    weight = projection.weight.unflatten(0, (heads, -1))
    return (weight - weight.mean(1, keepdim=True)).flatten(0, 1)


def rotation(table: RotaryTable, queries: nn.LayerNorm, keys: nn.LayerNorm) -> Rotation:
    """`table` over the outputs of both norms."""
    # The scale of attention goes to the queries alone, or the scores would be scaled twice.
    scale = queries.weight.new_tensor([queries.weight.shape[0] ** -0.5, 1.0])[:, None, None]
    weight = torch.stack([queries.weight, keys.weight])[:, None] * scale
    bias = torch.stack([queries.bias, keys.bias])[:, None] * scale
    cosine, sine = table.cosine[:, None], table.sine[:, None]
    half = weight.shape[-1] // 2
    # Rotation is linear: R (w x + b) = (R w) x + R b, of which R b is known beforehand.
    offset = bias * cosine + bias.roll(half, -1) * sine
    return Rotation(weight * cosine, weight.roll(half, -1) * sine, offset)
