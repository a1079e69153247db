"""Stable Audio Open's sampler: DPM-Solver++ of second order with noise, on a cosine v-network.

Equations: arXiv 2211.01095 (DPM-Solver++, its multistep and stochastic forms) in the variables of
arXiv 2206.00364 (x = x0 + sigma e). diffusers calls it CosineDPMSolverMultistepScheduler.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks import flow_sampler
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.tta.latent_diffusion.sampler import draw
from stabench.systems.tta.stable_audio.networks import (
    SCHEDULER,
    TOKENS,
    StableNetworks,
    StableText,
    condition,
    embed_seconds,
    embed_times,
    predict,
    rotate_frames,
)
from stabench.systems.tta.t5_guided import GRAPH

# The index of a step to its noise, N(0, 1) in the latents' shape.
NoiseOf = Callable[[int], Tensor]


def noise_levels(steps: int) -> Tensor:
    """Return sigmas float32 [steps + 1], evenly spaced in their logarithm, and 0."""
    ends = math.log(SCHEDULER["sigma_min"]), math.log(SCHEDULER["sigma_max"])
    return torch.cat([torch.linspace(*ends, steps).exp().flip(0), torch.zeros(1)])


class Step(NamedTuple):
    """Numbers of one step from sigma to sigma': the network gets `scale` x; data is `of_sample` x
    - `of_output` v; then x' = `keep` x + `gain` (data + `slope` (data - data before)) + `fresh` e.
    """

    scale: float
    of_sample: float
    of_output: float
    keep: float
    gain: float
    slope: float
    fresh: float


def tabulate_steps(sigmas: Tensor) -> list[Step]:
    """Return the numbers of every step. The first has no data before, the last does not use it."""
    table = []
    levels = sigmas.tolist()
    for index, (here, there) in enumerate(pairwise(levels)):
        # e^-h of the paper: h is the step in log(1 / sigma).
        ratio = there / here
        slope = 0.0
        if index > 0 and there > 0:
            slope = 0.5 * math.log(here / there) / math.log(levels[index - 1] / here)
        variance = here**2 + 1
        gain = 1 - ratio**2
        table.append(
            Step(
                variance**-0.5,
                1 / variance,
                here * variance**-0.5,
                ratio**2,
                gain,
                slope,
                there * gain**0.5,
            )
        )
    return table


class StableSampler:
    """Both halves of guidance in one call: v = v_zeros + guidance (v_words - v_zeros).

    `variant` "stock": the noise of the steps is diffusers' Brownian tree (torchsde) of a clip's
    seed, drawn on the device: what the published pipeline draws for a generator of that seed.
    "graph": it is drawn beforehand, step by step, from the seed's generator: numbers of the same
    distribution, independent as the tree's are; all steps of a single clip are one CUDA graph.
    """

    def __init__(
        self, networks: StableNetworks, steps: int, guidance: float, duration_s: float, variant: str
    ) -> None:
        self.networks, self.guidance, self.variant = networks, guidance, variant
        self.sigmas = noise_levels(steps)
        self.table = tabulate_steps(self.sigmas)
        transformer = networks.transformer
        self.shape = (transformer.config.in_channels, transformer.config.sample_size)
        with torch.inference_mode():
            times = embed_times(transformer, 2 / math.pi * self.sigmas[:-1].atan())
            seconds = embed_seconds(networks.projection, duration_s)
            self._from_noise: Any = partial(
                self._integrate, times, seconds, rotate_frames(transformer)
            )
            self.integrate: Any = self._integrate_drawn
            if variant == GRAPH:
                weight = transformer.proj_in.weight
                noise = torch.zeros(steps, 1, *self.shape, device=weight.device)
                width = networks.projection.config.text_encoder_dim
                states = weight.new_zeros(1, TOKENS, width)
                mask = torch.ones(1, TOKENS, dtype=torch.bool, device=weight.device)
                self.integrate = GraphedStep(self._integrate_drawn, [(noise, states, mask)])

    @torch.inference_mode()
    def latents(self, prompts: Sequence[StableText], seeds: Sequence[int]) -> Tensor:
        """Return latents float32 [B, C, T]."""
        states = torch.cat([prompt.states for prompt in prompts])
        mask = torch.cat([prompt.mask for prompt in prompts])
        if self.variant == GRAPH:
            noise = draw(seeds, self.shape, len(self.table)).to(states.device)
            return self.integrate(noise, states, mask)
        # The same start for a seed as above: its generator's first numbers.
        start = flow_sampler.noise(seeds, self.shape).to(states.device)
        return self._from_noise(start, self._grow_tree(start, seeds), states, mask)

    def _integrate_drawn(self, noise: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Return latents from noise [steps, B, C, T]: the start, and that of every step but the
        last. Only launches work: nothing waits for the device, nothing comes from the host."""
        return self._from_noise(noise[0], lambda index: noise[1 + index], states, mask)

    def _grow_tree(self, like: Tensor, seeds: Sequence[int]) -> NoiseOf:
        from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

        # Typed in diffusers as numbers; its scheduler hands in tensors, and so their rounding.
        levels: Any = self.sigmas
        ends = SCHEDULER["sigma_min"], SCHEDULER["sigma_max"]
        tree = BrownianTreeNoiseSampler(like, *ends, seed=list(seeds))

        def noise_of(index: int) -> Tensor:
            with warnings.catch_warnings():
                # The exponential of a logarithm may be a digit beyond the tree's ends.
                warnings.filterwarnings("ignore", message="Should have t[ab]")
                return tree(levels[index], levels[index + 1])

        return noise_of

    def _integrate(
        self,
        times: Tensor,
        seconds: Tensor,
        rotary: tuple[Tensor, Tensor],
        start: Tensor,
        noise_of: NoiseOf,
        states: Tensor,
        mask: Tensor,
    ) -> Tensor:
        transformer = self.networks.transformer
        conditions = condition(self.networks, states, mask, seconds, rotary)
        latents = start * (SCHEDULER["sigma_max"] ** 2 + 1) ** 0.5
        before = latents
        for index, step in enumerate(self.table):
            both = torch.cat([latents, latents]) * step.scale
            output = predict(transformer, both.to(states.dtype), times[index], conditions)
            zeros, words = output.float().chunk(2)
            output = zeros + self.guidance * (words - zeros)
            data = step.of_sample * latents - step.of_output * output
            estimate = data + step.slope * (data - before) if step.slope else data
            latents = step.keep * latents + step.gain * estimate
            if step.fresh:
                latents = latents + step.fresh * noise_of(index)
            before = data
        return latents
