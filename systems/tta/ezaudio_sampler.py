"""EzAudio's sampler: DDIM on v with rescaled guidance, through STAR's DiT."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks.udit import Modulations, UDiT
from stabench.systems.tta.latent_diffusion.sampler import Schedule, draw

# The `diff` table of the original's ckpts/ezaudio-l.yml.
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}


class EzSampler(NamedTuple):
    """`eta` 0 is deterministic DDIM, 1 adds the full noise in every step (arXiv 2010.02502);
    `rescale` is the share of guidance brought back to the spread of the guided prediction
    (arXiv 2305.08891, section 3.4)."""

    steps: int
    guidance: float
    rescale: float
    eta: float
    latent_frames: int

    def noise(self, udit: UDiT, seeds: Sequence[int]) -> Tensor:
        """The start and what each step adds, float32 [1 + draws, B, C, latent_frames], on the CPU.

        Drawn beforehand: no host synchronisation inside the loop.
        """
        # A deterministic sampler needs the start alone.
        draws = self.steps if self.eta > 0 else 0
        return draw(seeds, (udit.config.in_channels, self.latent_frames), 1 + draws)

    def modulations(self, udit: UDiT) -> Modulations:
        """Those of all steps: they depend on the schedule alone."""
        times = stock(self.steps).timesteps
        return udit.modulations(times.float().to(udit.time_ada.weight.device))

    def integrate(
        self,
        udit: UDiT,
        modulations: Modulations,
        noise: Tensor,
        states: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Return latents float32 [B, C, latent_frames] from the noise.

        Keys and values of the text are computed once. Only launches work: nothing waits for the
        device, nothing comes from the host.
        """
        times, step = self.schedule(noise[1:])
        cache = udit.precompute(states, mask)
        latents = noise[0]
        for index in range(len(times)):
            both = torch.cat([latents, latents]).to(states.dtype)
            empty, words = udit.step(both, modulations.at(index), cache).float().chunk(2)
            prediction = guided(empty, words, self.guidance, self.rescale)
            latents = step(prediction, index, latents)
        return latents

    def schedule(self, noise: Tensor) -> Schedule:
        """Times and steps of DDIM, with noise [steps, B, C, T] given (unread where eta is 0)."""
        scheduler = stock(self.steps)
        spacing = SCHEDULE["num_train_timesteps"] // self.steps
        table = [
            _coefficients(scheduler.alphas_cumprod, time, time - spacing, self.eta)
            for time in scheduler.timesteps.tolist()
        ]

        def step(output: Tensor, index: int, latents: Tensor) -> Tensor:
            row = table[index]
            # x = a x0 + s e and v = a e - s x0 with a^2 + s^2 = 1, solved for x0 and e.
            data = row.signal * latents - row.noise * output
            epsilon = row.signal * output + row.noise * latents
            # DDIM (arXiv 2010.02502, equation 12): to the next time along e, plus new noise.
            mean = row.next_signal * data + row.direction * epsilon
            return mean + row.fresh * noise[index] if self.eta > 0 else mean

        return Schedule(scheduler.timesteps, step)


def guided(empty: Tensor, words: Tensor, guidance: float, rescale: float) -> Tensor:
    """[B, C, T] twice to one: guidance, then a share of it rescaled, clip by clip."""
    raw = empty + guidance * (words - empty)
    if rescale == 0:
        return raw
    # Guidance widens the spread of a clip: `words` says how wide it should be.
    spread = words.std(dim=(1, 2), keepdim=True) / raw.std(dim=(1, 2), keepdim=True)
    return rescale * (raw * spread) + (1 - rescale) * raw


def stock(steps: int) -> Any:
    """diffusers' scheduler, for its times and its table."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(**SCHEDULE)
    scheduler.set_timesteps(steps)
    return scheduler


class Coefficients(NamedTuple):
    """Of one DDIM step on v, 0-dimensional and float32: x = signal x0 + noise e at its time, and
    next x = next_signal x0 + direction e + fresh (new noise)."""

    signal: Tensor
    noise: Tensor
    next_signal: Tensor
    direction: Tensor
    fresh: Tensor


def _coefficients(alphas_cumprod: Tensor, time: int, after: int, eta: float) -> Coefficients:
    here = alphas_cumprod[time]
    # A next time below 0 is the end, where no noise is left.
    there = alphas_cumprod[after] if after >= 0 else torch.tensor(1.0)
    # sigma of arXiv 2010.02502, equation 16: eta 1 is the variance of DDPM.
    variance = (1 - there) / (1 - here) * (1 - here / there)
    fresh = eta * variance**0.5
    # With full noise after pure noise this is 0; rounded below 0 it would make every sample NaN,
    # as it does in diffusers for some numbers of steps (which ones depends on the processor).
    left = torch.clamp(1 - there - fresh**2, min=0.0)
    return Coefficients(here**0.5, (1 - here) ** 0.5, there**0.5, left**0.5, fresh)
