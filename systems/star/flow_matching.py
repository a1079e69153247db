"""Flow-matching training of the UDiT: what is drawn for a batch, and its loss."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks.udit import UDiT

TIME_SCALE = 1000
# Number of clips, generator -> times float32 [n] in (0, 1], multiples of 1/1000; 1 is noise.
TimeSampler = Callable[[int, torch.Generator], Tensor]


def logit_normal(mean: float = 0.0, std: float = 1.0) -> TimeSampler:
    """t = sigmoid(N(mean, std)); (0, 1) is what the paper's code draws."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        normal = torch.randn(count, generator=generator, device=generator.device)
        # 1 - sigmoid(x) = sigmoid(-x): this is u, of which _quantise makes t = 1 - u.
        return _quantise(torch.sigmoid(-(mean + std * normal)))

    return draw


def toward_noise() -> TimeSampler:
    """t = sigmoid(1.5 + 1.2 n): small models learn what a clip contains near t = 1, so they need
    most of their steps there (a declared deviation)."""
    return logit_normal(1.5, 1.2)


def uniform() -> TimeSampler:
    """t uniform, as the paper says (its code does not)."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return _quantise(torch.rand(count, generator=generator, device=generator.device))

    return draw


class FlowDraw(NamedTuple):
    """What is random about a batch: `time` [B], `noise` [B, C, T], and `keep` bool [B], False for
    clips that lose their context; on the CPU."""

    time: Tensor
    noise: Tensor
    keep: Tensor


def draw_flow(
    shape: torch.Size, generator: torch.Generator, t_sampler: TimeSampler, drop: float = 0.2
) -> FlowDraw:
    """Draw for latents of `shape` [B, C, T]; a share `drop` of the clips loses its context."""
    # Drawn where the generator is, so that a seed means the same noise on every device.
    return FlowDraw(
        time=t_sampler(shape[0], generator),
        noise=torch.randn(shape, generator=generator, device=generator.device),
        keep=torch.rand(shape[0], generator=generator, device=generator.device) >= drop,
    )


def velocity_loss(
    udit: UDiT,
    latents: Tensor,
    context: Tensor,
    context_mask: Tensor | None,
    draw: FlowDraw,
    latent_mask: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the velocity z1 - z0 at z_t = (1 - t) z0 + t z1 (paper section 3.3).

    `latents` [B, C, T] as the sampler shall return them; `context` [B, S, W] is zeroed where `draw`
    does not keep it; frames outside `latent_mask` [B, T] count neither as keys nor as loss.
    """
    time = draw.time.to(latents.device)
    noise = draw.noise.to(latents.device, latents.dtype)
    # Zeros are the null context of guidance: the sampler asks for them, so they must be learnt.
    context = context * draw.keep.to(context.device, context.dtype)[:, None, None]
    noisy = torch.lerp(latents, noise, time.to(latents.dtype)[:, None, None])
    velocity = udit(noisy, time * TIME_SCALE, context, context_mask, latent_mask)
    return masked_mse(velocity, noise - latents, latent_mask)


def masked_mse(predicted: Tensor, target: Tensor, frame_mask: Tensor | None = None) -> Tensor:
    """Mean over the valid frames of each clip, then over clips; tensors [B, C, T], mask [B, T]."""
    error = (predicted.float() - target.float()).square().mean(dim=1)
    if frame_mask is None:
        return error.mean()
    weight = frame_mask.to(error.dtype)
    return ((error * weight).sum(1) / weight.sum(1).clamp_min(1)).mean()


def _quantise(below: Tensor) -> Tensor:
    """1 - u on the reference's grid: (1000 - floor(1000 u)) / 1000, never 0."""
    return (TIME_SCALE - (TIME_SCALE * below).floor().clamp(max=TIME_SCALE - 1)) / TIME_SCALE
