"""From noise to AudioLDM 2's latents: DDIM with eta 0 under classifier-free guidance."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks.resample import resample
from stabench.systems.tta.audioldm2.prompt import Prompt

# Latents, the time step, and what Conditions hold to a prediction of the latents' shape.
Predict = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


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


def widened(batch: Conditions, length: int) -> Conditions:
    """FLAN-T5's half padded to `length` tokens and masked; as it is if it is longer."""
    more = length - batch.tokens.shape[1]
    if more < 0:
        return batch
    pad = torch.nn.functional.pad
    return batch._replace(
        tokens=pad(batch.tokens, (0, 0, 0, more)), mask=pad(batch.mask, (0, more))
    )


def guided(unet: Any, guidance: float) -> Predict:
    """One call of the UNet; both halves go through it together if `guidance` > 1."""

    def predict(
        latents: Tensor, timestep: Tensor, tokens: Tensor, mask: Tensor, generated: Tensor
    ) -> Tensor:
        predicted = unet(
            torch.cat([latents, latents]) if guidance > 1.0 else latents,
            timestep,
            # This UNet reads GPT-2's states first and FLAN-T5's second; only the latter are masked.
            encoder_hidden_states=generated,
            encoder_hidden_states_1=tokens,
            encoder_attention_mask_1=mask,
            return_dict=False,
        )[0]
        if guidance <= 1.0:
            return predicted
        null, conditional = predicted.chunk(2)
        return null + guidance * (conditional - null)

    return predict


def denoise(
    predict: Predict, scheduler: Any, timesteps: Tensor, noise: Tensor, batch: Conditions
) -> Tensor:
    """Latents [B, C, T, F] from noise of that shape; `batch` holds 2 B rows if there is guidance.

    `timesteps` are the scheduler's on the device; the scheduler keeps its own on the CPU, so no
    step waits for the device.
    """
    latents = noise * scheduler.init_noise_sigma
    for step, timestep in zip(scheduler.timesteps.tolist(), timesteps, strict=True):
        predicted = predict(latents, timestep, *batch)
        latents = scheduler.step(predicted, step, latents, return_dict=False)[0]
    return latents


def best(clap: Any, extractor: Any, waveforms: Tensor, rate_hz: int, texts: Tensor) -> Tensor:
    """Index [B] on the CPU of the candidate with the greatest cosine.

    `waveforms` [B, n, N] on the CPU, `texts` [B, D] L2-normalised on the device of `clap`. CLAP
    hears the first seconds of what is longer than it was trained on.
    """
    count, candidates, _ = waveforms.shape
    heard = resample(waveforms.flatten(0, 1), rate_hz, extractor.sampling_rate)
    inputs = extractor(
        list(heard[:, : extractor.nb_max_samples].numpy()),
        sampling_rate=extractor.sampling_rate,
        return_tensors="pt",
    )
    features = clap.get_audio_features(
        inputs["input_features"].to(texts.device, texts.dtype),
        is_longer=inputs["is_longer"].to(texts.device),
    ).pooler_output
    cosines = features.unflatten(0, (count, candidates)) @ texts[:, :, None]
    return torch.argmax(cosines[..., 0].float(), dim=1).cpu()
