"""From context tokens to sound: the DiT's sampler and the VAE's decoder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from systems.contract import Spans, Waveform
from systems.star import sampler
from systems.star.config import SamplerConfig
from systems.star.udit import UDiT
from systems.star.vae import Vae


class LatentGenerator(NamedTuple):
    """The second phase of STAR and of its text-fed twin; marks "sampler" and "decoder"."""

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
            context, mask = batched(contexts)
            latents = sampler.sample(
                self.udit, context, mask, seeds, self.latent_frames, self.config
            )
        with spans("decoder"):
            latents = self.vae.denormalise(latents).to(context.dtype)
            sound = self.vae.decode(latents)[:, 0].float().cpu().numpy()
        rate = self.vae.sample_rate_hz
        return [Waveform(np.ascontiguousarray(samples), rate) for samples in sound]


def batched(contexts: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Contexts [1, S, W] to one [B, S, W] and a mask bool [B, S], None where lengths agree."""
    lengths = [context.shape[1] for context in contexts]
    if len(set(lengths)) == 1:
        return torch.cat(list(contexts)), None
    rows = [context[0] for context in contexts]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    counts = torch.tensor(lengths, device=padded.device)
    return padded, torch.arange(max(lengths), device=padded.device) < counts[:, None]
