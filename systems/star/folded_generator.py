"""The second phase of a small system on a CPU: the velocity field folded for its schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from systems.star import sampler
from systems.star.folded_udit import FoldedUDiT
from systems.star.latent_generator import LatentGenerator, batched


@dataclass(frozen=True)
class FoldedGenerator(LatentGenerator):
    """As LatentGenerator, but for rounding; in float32 on the CPU by a FoldedUDiT, built for the
    first clip from the weights as they are then. It is of no use on a GPU and not meant for half
    precision: there the UDiT itself is used.
    """

    @torch.inference_mode()
    def latents(self, contexts: Sequence[Tensor], seeds: Sequence[int]) -> Tensor:
        """As LatentGenerator."""
        weight = self.udit.time_ada.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            return super().latents(contexts, seeds)
        start = sampler.noise(seeds, (self.udit.config.in_channels, self.latent_frames))
        velocity = self.folded.velocity(*batched(contexts))
        return sampler.euler(velocity, start, sampler.schedule(self.config))

    @cached_property
    def folded(self) -> FoldedUDiT:
        """The velocity field over this schedule."""
        return FoldedUDiT(self.udit, self.config, self.latent_frames)
