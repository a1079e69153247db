"""The MLP of Table 1 (arXiv 2509.17164, section 3.1): what a plain classifier reads of frames."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from stabench.systems.networks.config import STRICT

# Layers that the authors' code tries; the paper does not say which one its table has.
DEPTHS = (1, 2)


@dataclass(frozen=True)
class MlpConfig:
    """An MLP over the mean of the frames; `layers` hidden ones.

    `mean_over_padding` repeats what the authors' code does to FLAN-T5's tokens: the mean is taken
    over the padding, too.
    """

    __pydantic_config__ = STRICT
    encoder_width: int = 1024
    hidden: int = 1024
    layers: int = 1
    classes: int = 527
    dropout: float = 0.1
    mean_over_padding: bool = False

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"mlp.layers is {self.layers}, allowed is 1 or more")


class MlpProbe(nn.Module):
    """Frames [B, T, encoder width] to class logits [B, classes].

    The mean over time comes first, then Linear, BatchNorm1d, Dropout and ReLU for each hidden
    layer, then Linear to the classes; Xavier-uniform (the paper names pooling last, the authors'
    code has it first).
    """

    def __init__(self, config: MlpConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.encoder_width, *[config.hidden] * config.layers]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after)]
            layers += [nn.Dropout(config.dropout), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], config.classes))
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is bool [B, T], True where a frame is true; None: all are."""
        return self.layers(self.pool(frames, mask))

    def pool(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """Return the mean [B, width] over the true frames, or over all with `mean_over_padding`."""
        if mask is None or self.config.mean_over_padding:
            return frames.mean(dim=1)
        return mean_frames(frames, mask)


def mean_frames(frames: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [B, W] of frames [B, T, W] where the mask [B, T] is True."""
    inside = mask[..., None]
    # Not a product: what lies in the padding may be infinite.
    return torch.where(inside, frames, 0.0).sum(1) / inside.sum(1)
