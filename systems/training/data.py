"""What training reads of a split: encoder frames of its speech, and latents of its sounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from stabench.systems.training.device import send


class Frames(Protocol):
    """Encoder frames of a split, utterance by utterance."""

    def __len__(self) -> int:
        """Return the number of utterances."""
        ...

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return frames float32 [B, T, W], zero-padded, and their mask bool [B, T], on the device.

        The host waits for nothing.
        """
        ...


class Latents(Protocol):
    """The VAE's posterior of a split's sounds, from which training draws (EzAudio: no means)."""

    def __len__(self) -> int:
        """Return the number of sounds."""
        ...

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Return drawn latents float32 [B, C, T], scaled as the DiT shall make them, on the device.

        The mask bool [B, T] is None where all sounds of the split are equally long.
        """
        ...


@dataclass(frozen=True)
class TensorFrames:
    """Frames in one tensor: `rows` [sum of T, W] on the device, utterances end to end.

    Utterance i has rows[offsets[i]:offsets[i+1]].
    """

    rows: Tensor
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return frames float32 [B, T, W], zero-padded, and their mask [B, T]."""
        first, counts = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
        place = np.arange(counts.max())
        inside = place < counts[:, None]
        rows = send(np.where(inside, first[:, None] + place, 0), self.rows.device)
        mask = send(inside, self.rows.device)
        return self.rows[rows].float().masked_fill(~mask[..., None], 0.0), mask


@dataclass(frozen=True)
class TensorLatents:
    """Latents of equal length in two tensors: posterior `means` and `stds` [N, C, T] on the device.

    `normalise` brings raw latents to the scale that the DiT is trained on (`Vae.normalise`).
    """

    means: Tensor
    stds: Tensor
    normalise: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.means)

    def batch(self, index: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Return drawn latents float32 [B, C, T], normalised, and no mask."""
        rows = send(index, self.means.device)
        mean, std = self.means[rows].float(), self.stds[rows].float()
        noise = send(rng.standard_normal(mean.shape, dtype=np.float32), mean.device)
        return self.normalise(mean + std * noise), None
