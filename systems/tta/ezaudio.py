"""EzAudio as text-to-audio: STAR's twin with text input, hence the controlled comparison."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.contract import Spans, Waveform
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.tta.ezaudio_flow import FLOW_STEPS, EzFlowSampler
from stabench.systems.tta.ezaudio_networks import TOKENS, EzNetworks
from stabench.systems.tta.ezaudio_sampler import EzSampler
from stabench.systems.tta.latent_diffusion.prompt import Prompt, gather, widened
from stabench.systems.tta.t5_guided import STOCK, T5Guided

# Noise, and states and mask of a Context, to latents.
Integrate = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class EzGenerator(NamedTuple):
    """The second phase: marks "sampler" and "decoder". Texts are padded to `tokens`."""

    networks: EzNetworks
    sampler: EzSampler | EzFlowSampler
    integrate: Integrate
    tokens: int | None

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
        vae = self.networks.vae
        with spans("sampler"):
            latents = self.latents(prompts, seeds)
        with spans("decoder"):
            kind = prompts[0].words.dtype
            sound = vae.decode(latents.to(kind))[:, 0].float().cpu().numpy()
        return [Waveform(samples, vae.sample_rate_hz) for samples in sound]

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Latents float32 [B, C, latent_frames]."""
        context = gather(prompts) if self.tokens is None else widened(gather(prompts), self.tokens)
        noise = self.sampler.noise(self.networks.udit, seeds)
        return self.integrate(noise.to(context.states.device), *context)


def generator(
    networks: EzNetworks, sampler: EzSampler | EzFlowSampler, variant: str
) -> EzGenerator:
    """As published, or with all steps of a single clip as one CUDA graph, captured now."""
    udit = networks.udit
    if variant == STOCK:

        def run(noise: Tensor, states: Tensor, mask: Tensor | None) -> Tensor:
            return sampler.integrate(udit, sampler.modulations(udit), noise, states, mask)

        return EzGenerator(networks, sampler, run, None)
    with torch.inference_mode():
        # The modulations depend on the schedule alone, and stay out of the graph.
        loop = partial(sampler.integrate, udit, sampler.modulations(udit))
        # Noise, and states and mask of one clip: two rows, the empty text and the words.
        weight = udit.time_ada.weight
        noise = sampler.noise(udit, [0]).to(weight.device)
        states = weight.new_zeros(2, TOKENS, udit.config.context_width)
        mask = torch.ones(2, TOKENS, dtype=torch.bool, device=weight.device)
        integrate = GraphedStep(loop, [(noise, states, mask)])
    return EzGenerator(networks, sampler, integrate, TOKENS)


TRAIN_STEPS = 1000
DDIM, FLOW = "ddim", "flow"
# Steps that each sampler allows.
SAMPLERS = {DDIM: TRAIN_STEPS, FLOW: FLOW_STEPS}


class EzAudio(T5Guided):
    """EzAudio-L: FLAN-T5, the DiT and the VAE of STAR's classes, DDIM on v.

    `weights`: "published", "random" (seeded by `seed`; latency only), or a folder that holds
    `ezaudio-l/` (its .pt file), `ezaudio-vae/` and `flan-t5-large/`. Text is padded to 100 tokens
    and masked, the empty text as well. Defaults are those of the original's interface: 100 steps,
    guidance 5, of which a share `rescale` is rescaled, full noise (`eta`; None: 1).
    `latent_frames` are at 50 Hz: 500 give 240,000 samples (10 s). `cache_unconditional`: the empty
    text is encoded once, not with every clip. `variant`: "stock", or "graph" (all steps of a single
    clip are one CUDA graph). `sampler`: "ddim", or "flow": the same weights as a velocity field
    under STAR's sampler (at most 74 steps; STAR takes 20), which has no `eta`.
    """

    title = "EzAudio"
    entries = ("ezaudio-l", "ezaudio-vae", "flan-t5-large")
    sample_rate = 24_000

    def __init__(
        self,
        steps: int = 100,
        guidance: float = 5.0,
        weights: str = "published",
        cache_unconditional: bool = False,
        rescale: float = 0.75,
        eta: float | None = None,
        latent_frames: int = 500,
        seed: int = 0,
        variant: str = "stock",
        sampler: str = DDIM,
    ) -> None:
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler is {sampler!r}, allowed are {', '.join(SAMPLERS)}")
        if not 1 <= steps <= SAMPLERS[sampler]:
            of = f" with sampler {sampler!r}" if sampler != DDIM else ""
            raise ValueError(f"steps is {steps}, allowed are 1 to {SAMPLERS[sampler]}{of}")
        if sampler == FLOW and eta is not None:
            raise ValueError(f"eta is {eta}, but sampler 'flow' adds no noise; leave eta out")
        eta = 1.0 if eta is None else eta
        for name, value in (("rescale", rescale), ("eta", eta)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}, allowed are 0 to 1")
        super().__init__(weights, variant, cache_unconditional, seed)
        self.steps, self.guidance, self.rescale, self.eta = steps, guidance, rescale, eta
        self.latent_frames, self.sampler = latent_frames, sampler

    def _settings(self) -> dict[str, Any]:
        # Stored runs hold no name for DDIM, and theirs must stay equal to new ones.
        flow = self.sampler == FLOW
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "rescale": self.rescale,
            **({"sampler": FLOW} if flow else {"eta": self.eta}),
            "latent_frames": self.latent_frames,
        }

    def _networks(self) -> Any:
        from stabench.systems.tta import ezaudio_networks

        return ezaudio_networks

    def _reader_options(self) -> dict[str, Any]:
        return {"length": self._networks().TOKENS}

    def _new_generator(self, sound: Any) -> Any:
        if sound.vae.sample_rate_hz != self.sample_rate:
            raise ValueError(
                f"the VAE's config.json says {sound.vae.sample_rate_hz} Hz, expected"
                f" {self.sample_rate}; use the published one"
            )
        shared = (self.steps, self.guidance, self.rescale)
        if self.sampler == FLOW:
            return generator(sound, EzFlowSampler(*shared, self.latent_frames), self.variant)
        sampler = EzSampler(*shared, self.eta, self.latent_frames)
        return generator(sound, sampler, self.variant)
