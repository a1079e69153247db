"""From prompts to sound through a latent diffusion model of log-mel spectrograms."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from systems.cascade.tta.ldm_prompt import Prompt, Tokenize, gather, place_t5
from systems.cascade.tta.ldm_sampler import Schedule, denoise, draw
from systems.contract import Spans, Waveform


class Networks(NamedTuple):
    """What a checkpoint holds."""

    tokenize: Tokenize
    text_encoder: nn.Module
    unet: nn.Module
    autoencoder: nn.Module
    vocoder: nn.Module

    def to(self, device: str, dtype: str) -> "Networks":
        """Moved and cast, in place."""
        place_t5(self.text_encoder, device, dtype)
        for network in (self.unet, self.autoencoder, self.vocoder):
            # diffusers' own `to` warns of modules to be kept in float32, of which it names none.
            nn.Module.to(network, device, getattr(torch, dtype))
        return self


class LdmGenerator(NamedTuple):
    """The second phase: marks "sampler", "decoder" (of the mel) and "vocoder".

    `latent` is the shape of one clip's latents. `schedule` gets the noise of the steps,
    float32 [draws, B, *latent]; `frames` turns the decoder's [B, 1, H, W] into mel frames
    [B, T, mels].
    """

    networks: Networks
    latent: tuple[int, int, int]
    guidance: float
    draws: int
    schedule: Callable[[Tensor], Schedule]
    frames: Callable[[Tensor], Tensor]
    rate_hz: int

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
        with spans("sampler"):
            latents = self.latents(prompts, seeds)
        with spans("decoder"):
            mel = self.mel(latents)
        with spans("vocoder"):
            sound = self.networks.vocoder(self.frames(mel)).float().cpu().numpy()
        return [Waveform(samples, self.rate_hz) for samples in sound]

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Latents float32 [B, *latent]."""
        context = gather(prompts)
        noise = draw(seeds, self.latent, 1 + self.draws).to(context.states.device)
        schedule = self.schedule(noise[1:])
        return denoise(self.networks.unet, context, noise[0], self.guidance, schedule)

    @torch.inference_mode()
    def mel(self, latents: Tensor) -> Tensor:
        """Log-mel spectrograms [B, 1, H, W], in the network's precision."""
        vae = self.networks.autoencoder
        scaled = 1.0 / vae.config.scaling_factor * latents
        return vae.decode(scaled.to(vae.dtype), return_dict=False)[0]
