"""When events sound: the logits of a CNN14 tagger in short windows along a clip.

The convolutions run once over the whole clip, as for the tagger. Their maps, one frame each
`Cnn14Config.hop` times 2 for every halving, are pooled over a few frames at a time instead of over
all, and the tagger's own last layers make class logits of each such window. So a clip costs what
tagging it costs, no window is padded, and no weights are trained for it. A frame also sees what
lies around it (0.7 s before and after with five blocks, twice that with six).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabench.metrics.contract import Features
from stabench.metrics.embedders.cnn14 import Cnn14Config, Cnn14Tagger
from stabench.metrics.embedders.network import padded
from stabench.metrics.embedders.weight_sources import Source


class EventTimeline(Cnn14Tagger):
    """A tagger whose `embeddings` are the class logits of each window, float32 [T, C].

    Windows are `window_s` seconds long and begin a frame of the last maps (`frame_s`) apart, from
    the beginning to the end of the clip. `thresholds` [C] are those of windows: the tagger's own
    are of whole clips.
    """

    def __init__(
        self,
        weights: str | Path | Source,
        window_s: float,
        config: Cnn14Config | None = None,
        labels: Sequence[str] | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        """Do as `Cnn14Tagger`. Raises ValueError for windows that are shorter than a frame."""
        super().__init__(weights, config, labels, thresholds)
        halvings = len(self.config.channels) - 1
        self.frame_s = self.config.hop * 2**halvings / self.config.rate_hz
        self.window_s = window_s
        self._frames = round(window_s / self.frame_s)
        if self._frames < 1:
            raise ValueError(
                f"timeline ({self.origin}): window_s is {window_s:g}, allowed is {self.frame_s:g} "
                "or more (one frame of the network's last maps); give longer windows"
            )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "window_s": self.window_s}

    def _hear_clip(self, waveform: np.ndarray) -> Features:
        samples = torch.tensor(padded(waveform, self._minimum)[None], device=self._device)
        logmel = self._inference.logmel(samples)
        with self._mixed():
            [windows] = pooled_windows(self._inference.maps(logmel), self._frames)
            logits = self._inference.from_pooled(windows).logits
        return Features(logits.float().cpu().numpy())


def pooled_windows(maps: Tensor, frames: int) -> Tensor:
    """Pool maps [B, C, T, mels] to [B, N, C], over windows of `frames` frames, one frame apart."""
    over_mel = maps.mean(dim=3)
    # Maps that are shorter than a window are one window.
    windows = over_mel.unfold(2, min(frames, over_mel.shape[2]), 1)
    return (windows.amax(dim=3) + windows.mean(dim=3)).transpose(1, 2).contiguous()
