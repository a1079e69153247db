"""What stage 2 trains, and what it reads: the DiT with the bridge's output layer, and a split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from stabench.systems.networks.udit import UDiT
from stabench.systems.star.flow_matching import FlowDraw, velocity_loss
from stabench.systems.training.data import Frames, Latents


def pair_alike(sounds: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Return the utterances of sounds where every sound has one, of its own number."""
    return sounds


@dataclass(frozen=True)
class Stage2Data:
    """A split: what is heard and what shall sound.

    `frames` are the Q-Former's states (`read_states`) or, without a bridge, the encoder's frames;
    `pair` chooses an utterance for each of some sounds, by number.
    """

    frames: Frames
    latents: Latents
    pair: Callable[[np.ndarray, np.random.Generator], np.ndarray] = pair_alike

    def heard(self, sounds: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return frames [B, S, W] and mask [B, S] of an utterance for each sound."""
        return self.frames.batch(self.pair(sounds, rng))


class Stage2Network(nn.Module):
    """The DiT and the bridge's output layer; None for "w/o BridgeNet"."""

    def __init__(self, udit: UDiT, projection: nn.Linear | None) -> None:
        super().__init__()
        self.udit = udit
        self.projection = projection

    def context(self, frames: Tensor) -> Tensor:
        """Turn Q-Former states [B, Q, D] (or encoder frames) into context tokens."""
        return self.projection(frames) if self.projection else frames

    def context_mask(self, mask: Tensor) -> Tensor | None:
        """Return None with a bridge: its tokens are always as many."""
        return None if self.projection else mask

    def loss(
        self,
        latents: Tensor,
        latent_mask: Tensor | None,
        frames: Tensor,
        mask: Tensor,
        draw: FlowDraw,
    ) -> Tensor:
        """Return the flow-matching loss of a batch."""
        context, context_mask = self.context(frames), self.context_mask(mask)
        return velocity_loss(self.udit, latents, context, context_mask, draw, latent_mask)

    def forward(
        self,
        latents: Tensor,
        latent_mask: Tensor | None,
        frames: Tensor,
        mask: Tensor,
        *draw: Tensor,
    ) -> Tensor:
        """Return the loss as training calls it: of bare tensors, which DDP can see through."""
        return self.loss(latents, latent_mask, frames, mask, FlowDraw(*draw))
