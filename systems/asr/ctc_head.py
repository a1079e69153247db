"""The network between STAR's speech encoder and the words: two convolutions and a CTC output."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stabench.systems.asr.ctc_config import CtcHeadConfig


class CtcHead(nn.Module):
    """Encoder frames to logits of blank (0) and words (1 to `vocabulary`), one set a frame.

    Connectionist temporal classification (Graves et al. 2006) whose symbols are whole words.
    """

    def __init__(self, config: CtcHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = config.vocabulary
        around = config.kernel // 2
        self.inner = nn.Conv1d(config.width, config.hidden, config.kernel, padding=around)
        self.outer = nn.Conv1d(config.hidden, config.vocabulary + 1, config.kernel, padding=around)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames [B, T, width] and mask bool [B, T] (None: all speech) to logits [B, T, V + 1].

        Frames past the speech are zeroed before each convolution, so that padding a batch changes
        no valid frame; the logits there are zero.
        """
        inside = None if mask is None else mask[:, None]
        hidden = self.inner(_silence(frames.transpose(1, 2), inside))
        hidden = self.dropout(functional.gelu(hidden))
        logits = self.outer(_silence(hidden, inside))
        return _silence(logits, inside).transpose(1, 2)


def _silence(features: Tensor, inside: Tensor | None) -> Tensor:
    """Features [B, C, T], zero where `inside` bool [B, 1, T] is False."""
    return features if inside is None else torch.where(inside, features, 0.0)
