"""From context tokens to sound: the DiT's sampler and the VAE's decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks import flow_sampler
from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.folded_udit import FoldedUDiT
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import Vae


@dataclass(frozen=True)
class LatentGenerator:
    """The second phase of STAR and of its text-fed twin; marks "sampler" and "decoder".

    The host waits for the device once, for the sound.
    """

    udit: UDiT
    vae: Vae
    config: SamplerConfig
    latent_frames: int

    @torch.inference_mode()
    def generate(
        self, contexts: Sequence[Tensor], seeds: Sequence[int], spans: Spans
    ) -> list[Waveform]:
        """One waveform [N] for each context [1, S, W]; ValueError when seeds are not one each."""
        if len(seeds) != len(contexts):
            raise ValueError(f"{len(contexts)} clips, but {len(seeds)} seeds; give one each")
        if not contexts:
            return []
        with spans("sampler"):
            latents = self.latents(contexts, seeds)
        with spans("decoder"):
            sound = self.sound(latents).cpu().numpy()
        rate = self.vae.sample_rate_hz
        return [Waveform(np.ascontiguousarray(samples), rate) for samples in sound]

    def latents(self, contexts: Sequence[Tensor], seeds: Sequence[int]) -> Tensor:
        """Latents float32 [B, C, T], as scaled in training."""
        context, mask = batched(contexts)
        return flow_sampler.sample(self.udit, context, mask, seeds, self.latent_frames, self.config)

    def sound(self, latents: Tensor) -> Tensor:
        """Waveforms float32 [B, N] on the device."""
        return self.vae.invert(self.expanded(latents))[:, 0].float()

    def expanded(self, latents: Tensor) -> Tensor:
        """The decoder network's output."""
        # Latents are float32; all parts of a system compute in the precision of its weights.
        dtype = self.udit.time_ada.weight.dtype
        return self.vae.expand(self.vae.denormalise(latents).to(dtype))


def batched(contexts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Contexts [1, S, W] to one [B, S, W] and a mask bool [B, S], None where lengths agree."""
    lengths = [context.shape[1] for context in contexts]
    # A single clip is always one of these: nothing is padded, so that nothing is to be hidden.
    if len(set(lengths)) == 1:
        return torch.cat(list(contexts)), None
    return padded(contexts, max(lengths))


def padded(contexts: Sequence[Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Contexts [1, S, W] to one [B, size, W] and its mask bool [B, size]."""
    together = contexts[0].new_zeros(len(contexts), size, contexts[0].shape[2])
    inside = torch.zeros(len(contexts), size, dtype=torch.bool)
    for row, context in enumerate(contexts):
        together[row, : context.shape[1]] = context[0]
        inside[row, : context.shape[1]] = True
    return together, inside.to(together.device)


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
        start = flow_sampler.noise(seeds, (self.udit.config.in_channels, self.latent_frames))
        velocity = self.folded.velocity(*batched(contexts))
        return flow_sampler.euler(velocity, start, flow_sampler.schedule(self.config))

    @cached_property
    def folded(self) -> FoldedUDiT:
        """The velocity field over this schedule."""
        return FoldedUDiT(self.udit, self.config, self.latent_frames)
