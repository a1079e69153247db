"""MeanAudio's second phase: from noise to latents in one evaluation, or few, and then to sound."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.networks.flow_sampler import noise
from stabench.systems.tta.meanaudio.decoder import RATE_HZ
from stabench.systems.tta.meanaudio.networks import SoundNetworks
from stabench.systems.tta.meanaudio.prompt import Prompt, gather
from stabench.systems.tta.meanaudio.transformer import MeanFlowTransformer, Rotations
from stabench.systems.tta.t5_guided import GRAPH


class MeanFlowSampler:
    """Steps along the mean velocity: z_r = z_t - (t - r) u(z_t, r, t) (arXiv 2505.13447, eq. 12).

    `steps` even ones from t = 1 (noise) to 0 (data). Guidance is in the weights; `guidance` from 1
    on adds that of the original's option: u = u_empty + guidance (u_words - u_empty), both halves
    in one call, the empty text's states being those of the checkpoint.
    """

    def __init__(
        self, transformer: MeanFlowTransformer, steps: int, guidance: float, frames: int
    ) -> None:
        self.transformer, self.guidance, self.frames = transformer, guidance, frames
        # Made once, so that nothing comes from the host inside the loop.
        self._times = torch.linspace(1, 0, steps + 1, device=transformer.latent_mean.device)
        self._lengths = (1 / steps,) * steps
        self._rotations: Rotations = transformer.rotations(frames)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Return the start, float32 [B, frames, C], on the CPU."""
        return noise(seeds, (self.frames, self.transformer.config.channels))

    def integrate(self, start: Tensor, states: Tensor, pooled: Tensor) -> Tensor:
        """Return latents float32 [B, frames, C], as the VAE knows them, from the noise `start`.

        Only launches work: nothing waits for the device.
        """
        network, latent, kind = self.transformer, start, states.dtype
        if self.guidance >= 1:
            empty = network.empty_string_feat.expand_as(states)
            states = torch.cat([empty, states])
            pooled = torch.cat([network.empty_string_feat_c.expand_as(pooled), pooled])
        conditions = network.conditions(states, pooled)
        for index, length in enumerate(self._lengths):
            times = self._times[index, None], self._times[index + 1, None]
            latent = latent - length * self._velocity(latent.to(kind), *times, conditions).float()
        return latent * network.latent_std + network.latent_mean

    def _velocity(self, latent: Tensor, start: Tensor, end: Tensor, conditions: Any) -> Tensor:
        call = (start, end, conditions, self._rotations)
        if self.guidance < 1:
            return self.transformer(latent, *call)
        empty, words = self.transformer(torch.cat([latent, latent]), *call).chunk(2)
        return empty + self.guidance * (words - empty)


class MeanAudioGenerator(NamedTuple):
    """Marks "sampler", "decoder" (of the mel) and "vocoder".

    `integrate` turns noise, states and pooled rows into latents [B, T, C], `decode` latents
    [B, C, T] into mels [B, M, 2 T], `vocode` mels into sound [B, 1, N].
    """

    sampler: MeanFlowSampler
    integrate: Callable[[Tensor, Tensor, Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    vocode: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], spans: Spans
    ) -> list[Waveform]:
        """Return one waveform a prompt; ValueError when seeds are not one each. One host
        synchronisation, at the end, to fetch the samples."""
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} clips, but {len(seeds)} seeds; give one each")
        if not prompts:
            return []
        with spans("sampler"):
            latents = self.latents(prompts, seeds)
        with spans("decoder"):
            mel = self.decode(latents.transpose(1, 2).to(prompts[0].states.dtype))
        with spans("vocoder"):
            sound = self.vocode(mel)[:, 0].float().cpu().numpy()
        return [Waveform(samples, RATE_HZ) for samples in sound]

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Return latents float32 [B, T, C]."""
        states, pooled = gather(prompts)
        return self.integrate(self.sampler.noise(seeds).to(states.device), states, pooled)


def build_generator(
    networks: SoundNetworks, steps: int, guidance: float, frames: int, variant: str
) -> MeanAudioGenerator:
    """Return the second phase as published, or with each stage of a single clip as one CUDA graph,
    captured now."""

    def vocode(mel: Tensor) -> Tensor:
        return networks.vocoder(mel, return_dict=False)[0]

    with torch.inference_mode():
        sampler = MeanFlowSampler(networks.transformer, steps, guidance, frames)
        stock = MeanAudioGenerator(sampler, sampler.integrate, networks.vae.decode, vocode)
        if variant != GRAPH:
            return stock
        config, like = networks.transformer.config, networks.transformer.latent_mean
        start = sampler.noise([0]).to(like.device)
        states = like.new_zeros(1, config.text_tokens, config.text_width)
        pooled = like.new_zeros(1, config.pooled_width)
        latents = like.new_zeros(1, config.channels, frames)
        return stock._replace(
            integrate=GraphedStep(stock.integrate, [(start, states, pooled)]),
            decode=GraphedStep(stock.decode, [(latents,)]),
            vocode=GraphedStep(stock.vocode, [(stock.decode(latents),)]),
        )
