"""From noise to AudioLDM 2's latents: DDIM with eta 0 under classifier-free guidance."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from systems.cascade.tta.audioldm2_prompt import Prompt


class Conditions(NamedTuple):
    """What the UNet attends to, the unconditional half first where there is guidance.

    `tokens` [B, L, W] and `mask` int64 [B, L] of FLAN-T5, `generated` [B, G, V] of GPT-2.
    """

    tokens: Tensor
    mask: Tensor
    generated: Tensor


def conditions(prompts: Sequence[Prompt], candidates: int) -> Conditions:
    """The prompts in one batch, each `candidates` times in a row.

    Shorter ones are padded and masked, so that none is changed by its neighbours.
    """
    pad = torch.nn.utils.rnn.pad_sequence
    tokens = pad([prompt.tokens[0] for prompt in prompts], batch_first=True)
    mask = pad([prompt.mask[0] for prompt in prompts], batch_first=True)
    generated = torch.cat([prompt.generated for prompt in prompts])
    return Conditions(
        *(rows.repeat_interleave(candidates, 0) for rows in (tokens, mask, generated))
    )


def denoise(
    unet: Any, scheduler: Any, timesteps: Tensor, noise: Tensor, given: Conditions, guidance: float
) -> Tensor:
    """Latents [B, C, T, F] from noise of that shape; `given` holds 2 B rows if `guidance` > 1.

    `timesteps` are the scheduler's on the device; the scheduler keeps its own on the CPU, so no
    step waits for the device.
    """
    latents = noise * scheduler.init_noise_sigma
    guided = guidance > 1.0
    for step, timestep in zip(scheduler.timesteps.tolist(), timesteps, strict=True):
        predicted = unet(
            torch.cat([latents, latents]) if guided else latents,
            timestep,
            encoder_hidden_states=given.generated,
            encoder_hidden_states_1=given.tokens,
            encoder_attention_mask_1=given.mask,
            return_dict=False,
        )[0]
        if guided:
            null, conditional = predicted.chunk(2)
            predicted = null + guidance * (conditional - null)
        latents = scheduler.step(predicted, step, latents, return_dict=False)[0]
    return latents
