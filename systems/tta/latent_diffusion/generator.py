"""From prompts to sound through a latent diffusion model of log-mel spectrograms."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.tta.latent_diffusion.prompt import Prompt, gather, widened
from stabench.systems.tta.latent_diffusion.sampler import Predict, Schedule, denoise, draw, guided
from stabench.systems.tta.t5_guided import LONGEST, STOCK

if TYPE_CHECKING:
    from diffusers.models import AutoencoderKL, UNet2DConditionModel


class Networks(NamedTuple):
    """What makes sound of a prompt."""

    unet: "UNet2DConditionModel"
    autoencoder: "AutoencoderKL"
    vocoder: nn.Module

    def to(self, device: str, dtype: str) -> "Networks":
        """Moved and cast, in place."""
        for network in self:
            # diffusers' own `to` warns of modules to be kept in float32, of which it names none.
            nn.Module.to(network, device, getattr(torch, dtype))
        return self


class LdmGenerator(NamedTuple):
    """The second phase: marks "sampler", "decoder" (of the mel) and "vocoder".

    `latent` is the shape of one clip's latents. `predict` is one call of the UNet, `schedule` gets
    the noise of the steps, float32 [draws, B, *latent]; `frames` turns the decoder's [B, 1, H, W]
    into mel frames [B, T, mels]. Texts are padded to `tokens`, and the padding hidden.
    """

    networks: Networks
    latent: tuple[int, int, int]
    predict: Predict
    draws: int
    schedule: Callable[[Tensor], Schedule]
    frames: Callable[[Tensor], Tensor]
    rate_hz: int
    tokens: int | None = None

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
        context = gather(prompts) if self.tokens is None else widened(gather(prompts), self.tokens)
        noise = draw(seeds, self.latent, 1 + self.draws).to(context.states.device)
        return denoise(self.predict, context, noise[0], self.schedule(noise[1:]))

    @torch.inference_mode()
    def mel(self, latents: Tensor) -> Tensor:
        """Log-mel spectrograms [B, 1, H, W], in the network's precision."""
        vae = self.networks.autoencoder
        scaled = 1.0 / vae.config["scaling_factor"] * latents
        return vae.decode(scaled.to(vae.dtype), return_dict=False)[0]


def predictor(
    unet: "UNet2DConditionModel", latent: tuple[int, ...], guidance: float, variant: str
) -> dict[str, Any]:
    """LdmGenerator's `predict` and `tokens`: as they are, or one CUDA graph for a single clip.

    Time steps, coefficients and noise stay outside of the graph.
    """
    step = guided(unet, guidance)
    if variant == STOCK:
        return {"predict": step}
    # Latents, time, states and mask of one clip: two rows of states, the empty text and the words.
    latents = torch.zeros(1, *latent, device=unet.device)
    time = torch.zeros((), dtype=torch.int64, device=unet.device)
    width = unet.config["cross_attention_dim"]
    states = latents.new_zeros(2, LONGEST, width, dtype=unet.dtype)
    mask = torch.ones(2, LONGEST, dtype=torch.bool, device=unet.device)
    return {"predict": GraphedStep(step, [(latents, time, states, mask)]), "tokens": LONGEST}
