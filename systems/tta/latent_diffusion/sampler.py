"""From noise to latents under guidance: the loop that latent diffusion models share.

Time steps and coefficients are known beforehand and noise is drawn beforehand, so a step asks the
device for nothing: no host synchronisation inside the loop.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stabench.systems.tta.latent_diffusion.prompt import Context

# Network output [B, ...], the step's index and latents [B, ...] to the next latents.
Step = Callable[[Tensor, int, Tensor], Tensor]

# Latents float32 [B, ...], the time, and states and mask of a Context to a prediction of the
# latents' shape.
Predict = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


class Schedule(NamedTuple):
    """`times` int64 [N], from noise to data, and what one step does."""

    times: Tensor
    step: Step


def guided(unet: nn.Module, guidance: float) -> Predict:
    """e = e_empty + w (e_words - e_empty); both halves go through the network in one call.

    The network runs in the precision of the states, guidance in float32.
    """

    def predict(latents: Tensor, time: Tensor, states: Tensor, mask: Tensor | None) -> Tensor:
        both = unet(
            torch.cat([latents, latents]).to(states.dtype),
            time,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0].float()
        empty, words = both.chunk(2)
        return empty + guidance * (words - empty)

    return predict


@torch.inference_mode()
def denoise(predict: Predict, context: Context, noise: Tensor, schedule: Schedule) -> Tensor:
    """Latents float32 [B, C, H, W] from `noise` of that shape, on the network's device."""
    latents = noise
    for index, time in enumerate(schedule.times.to(noise.device)):
        latents = schedule.step(predict(latents, time, *context), index, latents)
    return latents


def draw(seeds: Sequence[int], shape: Sequence[int], count: int = 1) -> Tensor:
    """N(0, 1) float32 [count, len(seeds), *shape] on the CPU, one generator a clip, drawn in turn:
    alike on any device and in any batch."""
    noise = torch.empty(count, len(seeds), *shape)
    for clip, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        # Draw by draw, so that the start of a clip is the same however many draws follow.
        for row in noise[:, clip]:
            row.normal_(generator=generator)
    return noise


class Coefficients(NamedTuple):
    """Of one ancestral step: x0 = a x - b v, then c x0 + d x + s noise (0-dimensional, float32)."""

    of_sample: Tensor
    of_output: Tensor
    of_data: Tensor
    of_latents: Tensor
    of_noise: Tensor


def ancestral(alphas_cumprod: Tensor, times: Tensor, noise: Tensor) -> Schedule:
    """DDPM steps for a network that predicts v (arXiv 2202.00512), noise [N, B, ...] given.

    `alphas_cumprod` float32 [T] by training step. Mean and variance are those of the posterior
    (arXiv 2006.11239, equations 6 and 7; the variance at least 1e-20), in float32 and in the order
    of diffusers' DDPMScheduler, which it equals bit for bit.
    """
    spacing = len(alphas_cumprod) // len(times)
    table = [_coefficients(alphas_cumprod, int(time), int(time) - spacing) for time in times]

    def step(output: Tensor, index: int, latents: Tensor) -> Tensor:
        row = table[index]
        # x = a x0 + b e and v = a e - b x0 with a^2 + b^2 = 1, solved for x0.
        data = row.of_sample * latents - row.of_output * output
        # Equation 7, the mean of the posterior, then noise of its variance.
        mean = row.of_data * data + row.of_latents * latents
        return mean + row.of_noise * noise[index]

    return Schedule(times, step)


def _coefficients(alphas_cumprod: Tensor, time: int, previous: int) -> Coefficients:
    here = alphas_cumprod[time]
    there = alphas_cumprod[previous] if previous >= 0 else torch.tensor(1.0)
    # The product of all alphas between the two times: the steps that are skipped count as one.
    alpha = here / there
    beta = 1 - alpha
    variance = torch.clamp((1 - there) / (1 - here) * beta, min=1e-20)
    return Coefficients(
        here**0.5,
        (1 - here) ** 0.5,
        there**0.5 * beta / (1 - here),
        alpha**0.5 * (1 - there) / (1 - here),
        # The last step returns the mean: noise would stay in the sound.
        variance**0.5 if time > 0 else torch.tensor(0.0),
    )
