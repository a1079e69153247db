"""From prompts to sound through EzAudio's sampler and the VAE's decoder."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from systems.cascade.tta.ezaudio_networks import TOKENS, EzNetworks
from systems.cascade.tta.ezaudio_sampler import EzSampler
from systems.cascade.tta.graphed_step import GraphedStep
from systems.cascade.tta.ldm_prompt import Prompt, gather, widened
from systems.cascade.tta.variants import STOCK
from systems.contract import Spans, Waveform
from systems.star.udit import UDiT

Integrate = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Noise, and states and mask of a Context, to latents."""


class EzGenerator(NamedTuple):
    """The second phase: marks "sampler" and "decoder". Texts are padded to `tokens`."""

    networks: EzNetworks
    sampler: EzSampler
    integrate: Integrate
    tokens: int | None

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], spans: Spans
    ) -> list[Waveform]:
        """One waveform a prompt; ValueError when seeds are not one each. One host
        synchronisation, at the end, to fetch the samples."""
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} clips, but {len(seeds)} seeds; give one each")
        if not prompts:
            return []
        vae = self.networks.vae
        with spans("sampler"):
            latents = self.latents(prompts, seeds)
        with spans("decoder"):
            kind = prompts[0].words.dtype
            sound = vae.decode(latents.to(kind))[:, 0].float().cpu().numpy()
        return [Waveform(samples, vae.sample_rate_hz) for samples in sound]

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Latents float32 [B, C, latent_frames]."""
        context = gather(prompts) if self.tokens is None else widened(gather(prompts), self.tokens)
        noise = self.sampler.noise(self.networks.udit, seeds)
        return self.integrate(noise.to(context.states.device), *context)


def generator(networks: EzNetworks, sampler: EzSampler, variant: str) -> EzGenerator:
    """As published, or with all steps of a single clip as one CUDA graph, captured now."""
    if variant == STOCK:
        return EzGenerator(networks, sampler, partial(sampler.run, networks.udit), None)
    udit = networks.udit
    with torch.inference_mode():
        loop = partial(sampler.integrate, udit, sampler.modulations(udit))
        integrate = GraphedStep(loop, [_example(udit, sampler)])
    return EzGenerator(networks, sampler, integrate, TOKENS)


def _example(udit: UDiT, sampler: EzSampler) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, states and mask of one clip."""
    weight = udit.time_ada.weight
    states = weight.new_zeros(2, TOKENS, udit.config.context_width)
    mask = torch.ones(2, TOKENS, dtype=torch.bool, device=weight.device)
    return sampler.noise(udit, [0]).to(weight.device), states, mask
