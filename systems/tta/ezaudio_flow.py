"""EzAudio's DiT as the velocity field of a flow: STAR's sampler on published weights, untrained.

EzAudio predicts v along x = a z0 + s z1 with a^2 + s^2 = 1, a flow moves along the straight line
z = (1 - t) z0 + t z1, z1 the noise. Both lines meet: z = x / (a + s) lies at t = s / (a + s). From
x and v = a z1 - s z0 follows the velocity z1 - z0, exactly (`flow_velocity`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks.flow_sampler import euler, noise, sway_times
from stabench.systems.networks.udit import Modulations, UDiT
from stabench.systems.tta.ezaudio_sampler import guided, stock

# From 75 on, two times of STAR's schedule are nearest to the same of EzAudio's.
FLOW_STEPS = 74


class Levels(NamedTuple):
    """Points where both lines meet, float64 [N]: EzAudio's `steps` (int64, 0 to 999), the flow's
    `times`, and how much `signal` and `noise` x has there."""

    steps: Tensor
    times: Tensor
    signal: Tensor
    noise: Tensor


def noise_levels(times: Tensor | None = None) -> Levels:
    """Return the 1000 points of EzAudio's schedule, or the nearest to each of `times` [N]."""
    # How many steps the stock scheduler is set to changes nothing in its table.
    kept = stock(1).alphas_cumprod.double()
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    grid = noise / (signal + noise)
    every = torch.arange(len(grid))
    steps = every if times is None else (grid - times[:, None]).abs().argmin(1)
    return Levels(steps, grid[steps], signal[steps], noise[steps])


def flow_velocity(
    v: Tensor, latent: Tensor, signal: Tensor | float, noise: Tensor | float
) -> Tensor:
    """Return z1 - z0 from v and the flow's `latent` z, all of one shape.

    z1 - z0 = (s - a) x + (a + s) v with x = (a + s) z.
    """
    return (noise - signal) * (signal + noise) * latent + (signal + noise) * v


class EzFlowSampler(NamedTuple):
    """Euler steps as STAR takes them (sway times), with EzAudio's guidance of the empty text.

    Each step is at the time of EzAudio's 1000 that is nearest to STAR's, as its network knows no
    other. The result is that of deterministic DDIM at these times, but for rounding.
    """

    steps: int
    guidance: float
    rescale: float
    latent_frames: int

    def levels(self) -> Levels:
        """Return where each step begins; the last one ends at 0, the data."""
        return noise_levels(sway_times(self.steps)[:-1])

    def noise(self, udit: UDiT, seeds: Sequence[int]) -> Tensor:
        """Return the start, float32 [1, B, C, latent_frames], on the CPU."""
        return noise(seeds, (udit.config.in_channels, self.latent_frames))[None]

    def modulations(self, udit: UDiT) -> Modulations:
        """Return those of all steps: they depend on the schedule alone."""
        return udit.modulations(self.levels().steps.float().to(udit.time_ada.weight.device))

    def integrate(
        self,
        udit: UDiT,
        modulations: Modulations,
        noise: Tensor,
        states: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Return latents float32 [B, C, latent_frames] from the noise.

        Only launches work: nothing waits for the device, nothing comes from the host.
        """
        levels = self.levels()
        shares = list(zip(levels.signal.tolist(), levels.noise.tolist(), strict=True))
        cache = udit.precompute(states, mask)

        def velocity(latent: Tensor, index: int) -> Tensor:
            signal, noisy = shares[index]
            both = ((signal + noisy) * latent).repeat(2, 1, 1).to(states.dtype)
            empty, words = udit.step(both, modulations.at(index), cache).float().chunk(2)
            v = guided(empty, words, self.guidance, self.rescale)
            return flow_velocity(v, latent, signal, noisy)

        return euler(velocity, noise[0], torch.cat([levels.times, levels.times.new_zeros(1)]))
