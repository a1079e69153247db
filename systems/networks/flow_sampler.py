"""From noise to latents: Euler steps along sway-spaced times, with classifier-free guidance."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stabench.systems.networks.config import SamplerConfig
from stabench.systems.networks.udit import Modulations, UDiT

TIME_SCALE = 1000
# Latents [B, C, T] and the step's index to their velocity.
Velocity = Callable[[Tensor, int], Tensor]


def sway_times(steps: int, sway: float = -1.0) -> Tensor:
    """Times float64 [steps + 1] from 1 (noise) to 0 (data).

    t = 1 - f(u), f(u) = u + s (cos(pi u / 2) - 1 + u), u = j / steps (F5-TTS); s = -1 gives
    cos(pi u / 2), small steps near noise.
    """
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    times = 1 - (even + sway * (torch.cos(math.pi / 2 * even) - 1 + even))
    # cos(pi / 2) is 6e-17 in floating point, but the last step has to end at the data.
    times[0], times[-1] = 1.0, 0.0
    return times


def schedule(config: SamplerConfig) -> Tensor:
    """The times of `config`, float64; the reference's quirk appends a step of length zero."""
    times = sway_times(config.steps, config.sway)
    if config.reference_nfe_quirk:
        times = torch.cat([times, times.new_zeros(1)])
    return times


def network_times(times: Tensor, integer: bool = True) -> Tensor:
    """What the network is fed at each step, float32 [steps]: 1000 t, floored as the reference."""
    scaled = TIME_SCALE * times[:-1]
    return (scaled.floor() if integer else scaled).float()


def euler(velocity: Velocity, noise: Tensor, times: Tensor) -> Tensor:
    """Integrate dz/dt = velocity from times[0] to times[-1], starting at `noise`."""
    latent = noise
    # The lengths are negative, as time falls from noise to data.
    for index, length in enumerate(times.diff().tolist()):
        latent = torch.add(latent, velocity(latent, index), alpha=length)
    return latent


def noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """N(0, 1) float32 [len(seeds), *shape] on the CPU, one generator a clip: alike on any device
    and in any batch."""
    draws = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(draws)


@torch.inference_mode()
def sample(
    udit: UDiT,
    context: Tensor,
    context_mask: Tensor | None,
    seeds: Sequence[int],
    latent_frames: int,
    config: SamplerConfig,
) -> Tensor:
    """Latents float32 [B, C, latent_frames] for context [B, S, W], as scaled in training."""
    start = noise(seeds, (udit.config.in_channels, latent_frames)).to(context.device)
    return integrate(udit, start, context, context_mask, modulations(udit, config), config)


def modulations(udit: UDiT, config: SamplerConfig) -> Modulations:
    """Those of all steps: they depend on the schedule alone."""
    fed = network_times(schedule(config), config.integer_time)
    return udit.modulations(fed.to(udit.time_ada.weight.device))


def integrate(
    udit: UDiT,
    start: Tensor,
    context: Tensor,
    context_mask: Tensor | None,
    modulations: Modulations,
    config: SamplerConfig,
) -> Tensor:
    """From noise float32 [B, C, T] to latents of that shape. Only launches work: nothing waits for
    the device, nothing comes from the host."""
    velocity = guided_velocity(udit, context, context_mask, modulations, config.guidance)
    return euler(velocity, start, schedule(config))


def guided_velocity(
    udit: UDiT,
    context: Tensor,
    context_mask: Tensor | None,
    modulations: Modulations,
    guidance: float,
) -> Velocity:
    """v = v_null + w (v_context - v_null); the null context is all zeros, with the same mask.

    Both halves go through the network in one call, the unconditional first; w = 1 needs one half.
    """
    guided = guidance != 1.0
    if guided:
        context = torch.cat([torch.zeros_like(context), context])
        context_mask = None if context_mask is None else context_mask.repeat(2, 1)
    cache = udit.precompute(context, context_mask)

    def velocity(latent: Tensor, index: int) -> Tensor:
        batch = latent.repeat(2, 1, 1) if guided else latent
        # The network may compute in half precision; guidance and the sum of steps stay float32.
        predicted = udit.step(batch.to(context.dtype), modulations.at(index), cache).float()
        if not guided:
            return predicted
        null, conditional = predicted.chunk(2)
        return torch.lerp(null, conditional, guidance)

    return velocity
