"""The audio branch of a ClapModel as inference needs it: the same numbers, fewer operations.

HTSAT (Chen et al., 2022, arXiv 2202.00874) is a Swin transformer over the spectrogram. Tokens stay
in the order of their windows, so that only shifted blocks and the merging of patches move them;
query, key and value are one product; position bias and mask are added up once, at load.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from stabench.metrics.embedders.prepacked import Layer, linear, pack_linear

if TYPE_CHECKING:
    from transformers import ClapModel
    from transformers.models.clap.modeling_clap import (
        ClapAudioLayer,
        ClapAudioPatchMerging,
        ClapAudioStage,
    )

# As in transformers' own layer: next to any other logit its exponential vanishes.
MASKED = -100.0


class Shift(NamedTuple):
    """`order` [N] brings tokens into shifted windows, `back` [N] returns them; None: no shift."""

    order: Tensor | None
    back: Tensor | None
    mask: Tensor | None


class Grid:
    """The patches of one stage, `rows` x `columns`, and the windows that tile them."""

    def __init__(self, rows: int, columns: int, window: int) -> None:
        """Number the patches. Raises ValueError when the windows do not tile the grid."""
        if rows % window or columns % window:
            raise ValueError(
                f"HTSAT: a grid of {rows} x {columns} patches is not tiled by windows of {window}; "
                "choose spec_size so that every stage is"
            )
        self._rows, self._columns, self._window = rows, columns, window
        self._cells = torch.arange(rows * columns).view(rows, columns)

    def windows(self) -> Tensor:
        """Return cells [rows * columns], window after window, row after row in each."""
        return self._order_by_window(self._cells)

    def neighbours(self) -> Tensor:
        """Return the places [N / 4, 4], in window order, of the four tokens of each merged token.

        Merged tokens are in the order of their rows.
        """
        place = torch.argsort(self.windows()).view(self._rows, self._columns)
        # Column by column: the order in which the weights of the merging expect them.
        corners = [place[row::2, column::2] for column in range(2) for row in range(2)]
        return torch.stack([corner.flatten() for corner in corners], dim=1)

    def shifted(self, odd: bool, device: torch.device) -> Shift:
        """Return how a layer of this stage sees tokens in window order.

        Odd ones shift by half a window.

        A stage of a single window is never shifted.
        """
        if not odd or min(self._rows, self._columns) <= self._window:
            return Shift(None, None, None)
        half = self._window // 2
        rolled = self._order_by_window(self._cells.roll((-half, -half), (0, 1)))
        order = torch.argsort(self.windows())[rolled]
        return Shift(
            order.to(device), torch.argsort(order).to(device), self._mask_rolled(half).to(device)
        )

    def _mask_rolled(self, half: int) -> Tensor:
        """Mask tokens that rolling has brought together, [windows, area, area]."""
        bands = [
            (torch.arange(size) >= size - self._window).int()
            + (torch.arange(size) >= size - half).int()
            for size in (self._rows, self._columns)
        ]
        region = self._order_by_window(bands[0][:, None] * 3 + bands[1]).view(-1, self._window**2)
        return (region[:, None] != region[:, :, None]) * MASKED

    def _order_by_window(self, cells: Tensor) -> Tensor:
        tiles = cells.unflatten(0, (-1, self._window)).unflatten(2, (-1, self._window))
        return tiles.transpose(1, 2).flatten()


class Block:
    """One transformer layer over tokens [N, C] in the order of their windows."""

    def __init__(self, layer: "ClapAudioLayer", shift: Shift, precision: str) -> None:
        attention = layer.attention.self
        self._heads, self._shift = attention.num_attention_heads, shift
        self._area = len(attention.relative_position_index)
        self._before, self._after = layer.layernorm_before, layer.layernorm_after
        # Query, key and value as one product: their weights one under the other.
        parts = (attention.query, attention.key, attention.value)
        weight = torch.cat([part.weight for part in parts]).detach()
        biases: list[Tensor] = [part.bias for part in parts]
        bias = None if biases[0] is None else torch.cat(biases).detach()
        self._qkv = linear(weight, bias, precision=precision)
        self._out = pack_linear(layer.attention.output.dense, precision=precision)
        self._rise = pack_linear(layer.intermediate.dense, "gelu", precision)
        self._fall = pack_linear(layer.output.dense, precision=precision)
        index = attention.relative_position_index
        table = attention.relative_position_bias_table.detach()[index.flatten()]
        # [1, heads, area, area], of any window.
        position = table.view(*index.shape, -1).permute(2, 0, 1).contiguous()[None]
        self._bias = position if shift.mask is None else position + shift.mask[:, None]

    def __call__(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attend(self._before(tokens))
        return tokens + self._fall(self._rise(self._after(tokens)))

    def _attend(self, tokens: Tensor) -> Tensor:
        if self._shift.order is not None:
            tokens = tokens[self._shift.order]
        heads = self._qkv(tokens).unflatten(-1, (3, self._heads, -1))
        query, key, value = heads.unflatten(0, (-1, self._area)).permute(2, 0, 3, 1, 4)
        bias = self._bias.to(query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        tokens = self._out(mixed.transpose(1, 2).flatten(2).flatten(0, 1))
        return tokens if self._shift.back is None else tokens[self._shift.back]


class Merging:
    """Four neighbours become one token of the next stage, in the order of its windows."""

    def __init__(self, module: "ClapAudioPatchMerging", neighbours: Tensor, precision: str) -> None:
        self._neighbours, self._norm = neighbours, module.norm
        self._reduce = pack_linear(module.reduction, precision=precision)

    def __call__(self, tokens: Tensor) -> Tensor:
        return self._reduce(self._norm(tokens[self._neighbours].flatten(1)))


class Htsat:
    """`__call__(decibels [1, 1, frames, mels]) -> [1, D]`, L2-normalised, of one clip at a time."""

    def __init__(self, model: "ClapModel", precision: str = "float32") -> None:
        """Lay out the layers.

        Raises ValueError for a grid of patches that its windows do not tile.
        """
        encoder = model.audio_model.audio_encoder
        self._encoder = encoder
        grids = [Grid(*size, encoder.config.window_size) for size in encoder.input_resolutions]
        device = encoder.patch_embed.proj.weight.device
        self._order = grids[0].windows().to(device)
        self._layers: list[Layer] = []
        # A ModuleList does not tell a type checker what it holds.
        stages = cast("Iterable[ClapAudioStage]", encoder.layers)
        for stage, grid, merged in zip(stages, grids, [*grids[1:], None], strict=True):
            for index, layer in enumerate(cast("Iterable[ClapAudioLayer]", stage.blocks)):
                self._layers.append(Block(layer, grid.shifted(index % 2 == 1, device), precision))
            if merged:
                neighbours = grid.neighbours()[merged.windows()].to(device)
                self._layers.append(Merging(stage.downsample, neighbours, precision))
        projection = model.audio_projection
        self._wide = pack_linear(projection.linear1, "relu", precision)
        self._narrow = pack_linear(projection.linear2, precision=precision)

    def __call__(self, decibels: Tensor) -> Tensor:
        maps = self._encoder.batch_norm(decibels.transpose(1, 3)).transpose(1, 3)
        images = self._encoder.reshape_mel2img(maps)
        tokens = self._encoder.patch_embed(images)[0][self._order]
        for layer in self._layers:
            tokens = layer(tokens)
        pooled = self._encoder.norm(tokens).mean(0, keepdim=True)
        return F.normalize(self._narrow(self._wide(pooled)).float(), dim=-1)
