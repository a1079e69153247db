"""UDiT, the velocity field of STAR: a diffusion transformer with long skips (EzAudio's backbone).

Everything that depends on the context alone is computed once a clip (`precompute`), everything
that depends on time alone once a schedule (`modulations`); `step` does the rest.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.systems.networks.attention import (
    CrossAttention,
    KeysValues,
    RotaryTable,
    SelfAttention,
    rotary_table,
)
from stabench.systems.networks.config import UDiTConfig

TIME_WIDTH = 256


class Modulations(NamedTuple):
    """AdaLN vectors of N times: `blocks` [L, 6, N, 1, D], `final` [2, N, 1, D].

    The six are shift, 1 + scale and 1 - gate of attention, then of the MLP; the two are shift and
    1 + scale of the head.
    """

    blocks: Tensor
    final: Tensor

    def at(self, index: int) -> "Modulations":
        """Those of one time, which broadcast over a batch."""
        return Modulations(self.blocks[:, :, index, None], self.final[:, index, None])


class ContextCache(NamedTuple):
    """Keys and values of every block, in order of use, and the mask [B, 1, 1, S] or None."""

    blocks: tuple[KeysValues, ...]
    mask: Tensor | None


class TimeEmbedding(nn.Module):
    """Sinusoid (cosines first) and a two-layer MLP; the SiLU of its users is applied here once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """Times [N] on the 0..1000 scale to [N, D]."""
        half = TIME_WIDTH // 2
        # In float32: bfloat16 holds 8 bits, too few for the phase of angles up to 1000.
        exponents = torch.arange(half, device=time.device, dtype=torch.float32) / half
        angles = time.float()[:, None] * torch.exp(-math.log(10_000.0) * exponents)
        sinusoid = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return functional.silu(self.mlp(sinusoid.to(self.mlp.get_parameter("0.weight").dtype)))


class AdaLN(nn.Module):
    """AdaLN-SOLA: a low-rank, per-block correction of the shared modulation (section 5.5)."""

    def __init__(self, width: int, rank: int, alpha: int) -> None:
        super().__init__()
        self.scaling = alpha / rank
        self.lora_a = nn.Linear(width, 6 * rank, bias=False)
        self.lora_b = nn.Linear(6 * rank, 6 * width, bias=False)
        self.scale_shift_table = nn.Parameter(torch.zeros(6, width))

    def forward(self, embedded: Tensor, shared: Tensor) -> Tensor:
        """Time embedding [N, D] and shared modulation [N, 6 D] to [N, 6, D]."""
        delta = self.lora_b(self.lora_a(embedded))
        total = torch.add(shared, delta, alpha=self.scaling)
        return total.unflatten(-1, (6, -1)) + self.scale_shift_table


class GegluProjection(nn.Module):
    """Linear to twice the width, one half gating the other."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, frames: Tensor) -> Tensor:
        value, gate = self.proj(frames).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class Mlp(nn.Module):
    """GEGLU feed-forward; `net.1` is the dropout's place in checkpoints (its rate is 0)."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        hidden = width * ratio
        self.net = nn.Sequential(
            GegluProjection(width, hidden), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, frames: Tensor) -> Tensor:
        return self.net(frames)


class Block(nn.Module):
    """Self-attention, cross-attention, MLP; out-blocks first merge a long skip."""

    def __init__(self, config: UDiTConfig, with_skip: bool = False) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, config.heads)
        self.norm2 = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.cross_attn = CrossAttention(width, config.heads)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = Mlp(width, config.mlp_ratio)
        self.adaln = AdaLN(width, config.lora_rank, config.lora_alpha)
        self.skip_norm = nn.LayerNorm(2 * width) if with_skip else None
        self.skip_linear = nn.Linear(2 * width, width) if with_skip else None

    def project(self, context: Tensor) -> KeysValues:
        """Keys and values of an embedded context [B, S, D]."""
        return self.cross_attn.project(self.norm_context(context))

    def merge(self, frames: Tensor, skip: Tensor) -> Tensor:
        """[B, T, D] and the in-block's output of the same shape to [B, T, D]."""
        assert self.skip_norm is not None, "not an out-block"
        assert self.skip_linear is not None, "not an out-block"
        return self.skip_linear(self.skip_norm(torch.cat([frames, skip], dim=-1)))

    def forward(
        self,
        frames: Tensor,
        modulation: Tensor,
        table: RotaryTable,
        latent_mask: Tensor | None,
        context: KeysValues,
        context_mask: Tensor | None,
    ) -> Tensor:
        """[B, T, D] to the same shape; `modulation` [6, B or 1, 1, D] as in Modulations."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.unbind(0)
        inner = torch.addcmul(shift1, self.norm1(frames), scale1)
        frames = torch.addcmul(frames, self.attn(inner, table, latent_mask), gate1)
        frames = frames + self.cross_attn(self.norm2(frames), context, context_mask)
        inner = torch.addcmul(shift2, self.norm3(frames), scale2)
        return torch.addcmul(frames, self.mlp(inner), gate2)


class PatchEmbedding(nn.Module):
    """`patch` latent frames to one token."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv1d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, latent: Tensor) -> Tensor:
        """[B, C, T] to [B, T / patch, D]."""
        return self.proj(latent).transpose(1, 2)


class FinalBlock(nn.Module):
    """Modulated norm, a linear head unfolded into latent frames, a smoothing convolution."""

    def __init__(self, width: int, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, patch * channels)
        self.final_layer = nn.Conv1d(channels, channels, kernel_size=3, padding=1)

    def forward(self, frames: Tensor, modulation: Tensor) -> Tensor:
        """[B, T / patch, D] to [B, C, T]."""
        shift, scale = modulation.unbind(0)
        return self.unfold(torch.addcmul(shift, self.norm(frames), scale))

    def unfold(self, frames: Tensor) -> Tensor:
        """Normed and modulated [B, T / patch, D] to [B, C, T], an affine map."""
        patches = self.linear(frames)
        latent = patches.unflatten(-1, (self.patch, -1)).flatten(1, 2)
        return self.final_layer(latent.transpose(1, 2))


class UDiT(nn.Module):
    """Velocity of latents [B, C, T] at times [B] (0..1000), given context tokens [B, S, W]."""

    def __init__(self, config: UDiTConfig) -> None:
        super().__init__()
        self.config = config
        width, half = config.width, config.depth // 2
        self.patch_embed = PatchEmbedding(config.in_channels, width, config.patch_size)
        self.time_embed = TimeEmbedding(width)
        self.time_ada = nn.Linear(width, 6 * width)
        self.time_ada_final = nn.Linear(width, 2 * width)
        self.context_embed = nn.Sequential(
            nn.Linear(config.context_width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.in_blocks = nn.ModuleList(Block(config) for _ in range(half))
        self.mid_block = Block(config)
        self.out_blocks = nn.ModuleList(Block(config, with_skip=True) for _ in range(half))
        self.final_block = FinalBlock(width, config.in_channels, config.patch_size)
        # No buffers: checkpoints do not hold them, and a cast would spoil them.
        self._tables: dict[tuple[int, torch.device], RotaryTable] = {}
        self.reset_parameters()

    @property
    def blocks(self) -> list[Block]:
        """All blocks in order of use."""
        return [*self.in_blocks, self.mid_block, *self.out_blocks]

    def reset_parameters(self) -> None:
        """Section 5.11: Xavier everywhere, zero where a block must start as the identity."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                # A view of the kernel as a matrix: its fans count as those of a linear layer.
                nn.init.xavier_uniform_(module.weight.flatten(1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.blocks:
            # As LoRA begins (arXiv 2106.09685): with B zero there is no correction yet, and with
            # A not zero B can learn.
            nn.init.kaiming_uniform_(block.adaln.lora_a.weight, a=math.sqrt(5))
            nn.init.zeros_(block.adaln.lora_b.weight)
            nn.init.zeros_(block.adaln.scale_shift_table)
            nn.init.zeros_(block.cross_attn.proj.weight)
        nn.init.zeros_(self.time_ada.weight)
        nn.init.zeros_(self.time_ada_final.weight)

    def forward(
        self,
        latent: Tensor,
        time: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        latent_mask: Tensor | None = None,
    ) -> Tensor:
        """Velocity [B, C, T]; masks are bool [B, S] and [B, T], True where valid, key side only."""
        cache = self.precompute(context, context_mask)
        return self.step(latent, self.modulations(time), cache, latent_mask)

    def precompute(self, context: Tensor, context_mask: Tensor | None = None) -> ContextCache:
        """Context tokens [B, S, W] to the keys and values of every block."""
        embedded = self.context_embed(context)
        mask = None if context_mask is None else context_mask[:, None, None, :]
        return ContextCache(tuple(block.project(embedded) for block in self.blocks), mask)

    def modulations(self, times: Tensor) -> Modulations:
        """All AdaLN vectors of times [N] on the 0..1000 scale."""
        embedded = self.time_embed(times)
        shared = self.time_ada(embedded)
        blocks = torch.stack([block.adaln(embedded, shared) for block in self.blocks])
        shift1, scale1, gate1, shift2, scale2, gate2 = blocks.unbind(2)
        # Ones are added here, once a schedule, so that a step needs one addcmul for each of them.
        open_gates = [shift1, 1 + scale1, 1 - gate1, shift2, 1 + scale2, 1 - gate2]
        shift, scale = self.time_ada_final(embedded).chunk(2, dim=-1)
        final = torch.stack([shift, 1 + scale])
        return Modulations(torch.stack(open_gates, dim=1)[:, :, :, None], final[:, :, None])

    def step(
        self,
        latent: Tensor,
        modulations: Modulations,
        cache: ContextCache,
        latent_mask: Tensor | None = None,
    ) -> Tensor:
        """One velocity [B, C, T]; `modulations` for each of B times, or for one that all share."""
        frames = self.patch_embed(latent)
        length, device = frames.shape[1], frames.device
        if (length, device) not in self._tables:
            head_width = self.config.width // self.config.heads
            self._tables[length, device] = rotary_table(head_width, length, device)
        table = self._tables[length, device]
        key_mask = None
        if latent_mask is not None:
            # [B, T] to [B, 1, 1, T / patch]: a token is valid if one of its frames is.
            tokens = latent_mask.unflatten(-1, (-1, self.config.patch_size)).any(-1)
            key_mask = tokens[:, None, None, :]
        skips: list[Tensor] = []
        middle = len(self.in_blocks)
        for index, block in enumerate(self.blocks):
            # As in a U-Net: the last in-block's output is the first that an out-block merges.
            if index > middle:
                frames = block.merge(frames, skips.pop())
            frames = block(
                frames, modulations.blocks[index], table, key_mask, cache.blocks[index], cache.mask
            )
            if index < middle:
                skips.append(frames)
        return self.final_block(frames, modulations.final)

    def compile_blocks(self) -> None:
        """Fuse the operations of each block with torch.compile, at its first use.

        Block by block: equal blocks share what was compiled.
        """
        for block in self.blocks:
            block.compile(fullgraph=True)
