"""TangoFlux's sampler: from texts to latents by Euler steps of equal length."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from stabench.systems.networks import flow_sampler
from stabench.systems.networks.cuda_graph import GraphedStep
from stabench.systems.tta.latent_diffusion.prompt import Prompt
from stabench.systems.tta.t5_guided import GRAPH, LONGEST
from stabench.systems.tta.tangoflux.networks import FluxField


class Texts(NamedTuple):
    """A batch of B texts: `states` [2 B, L, W], the empty texts first; `live` bool [2 B, L], the
    tokens of each; `read` bool [2 B, L], what belongs to a row, None where all of every row does.

    An empty text is as long as its words: the original lets the network read that padding.
    """

    states: Tensor
    live: Tensor
    read: Tensor | None


def gather(prompts: Sequence[Prompt], tokens: int | None = None) -> Texts:
    """Return prompts as one batch; where they fit into `tokens`, padded to it and with `read`."""
    states = [p.empty for p in prompts] + [p.words for p in prompts]
    masks = [p.empty_mask for p in prompts] + [p.words_mask for p in prompts]
    lengths = torch.tensor([state.shape[1] for state in states])
    wide = max(int(lengths.max()), tokens or 0)
    read = torch.arange(wide) < lengths[:, None]
    # The masks are on the CPU, so that this look at them does not wait for the device.
    unpadded = bool(read.all()) and wide != tokens
    device = states[0].device
    return Texts(
        torch.cat([pad(state, (0, 0, 0, wide - state.shape[1])) for state in states]),
        torch.cat([pad(mask, (0, wide - mask.shape[1])) for mask in masks]).to(device),
        None if unpadded else read.to(device),
    )


class FluxSampler:
    """Both halves of guidance in one call: v = v_empty + guidance (v_words - v_empty).

    What depends on no clip is computed when this is made. `variant` "graph": all steps of a single
    clip are one CUDA graph, its text padded to LONGEST tokens, of which a mask hides the rest.
    """

    def __init__(
        self, field: FluxField, steps: int, guidance: float, duration_s: float, variant: str
    ) -> None:
        self.field, self.guidance = field, guidance
        self.schedule = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        self.tokens = LONGEST if variant == GRAPH else None
        with torch.inference_mode():
            times = field.embed_times(self.schedule[:-1].float())
            duration, rotary = field.embed_duration(duration_s), field.rotate_frames()
            self.integrate: Any = partial(self._integrate, times, duration, rotary)
            if self.tokens is not None:
                weight = field.weight
                noise = torch.zeros(1, field.frames, field.channels, device=weight.device)
                states = weight.new_zeros(2, self.tokens, duration.shape[-1])
                # All live: the mean of no token would be no number.
                mask = torch.ones(2, self.tokens, dtype=torch.bool, device=weight.device)
                self.integrate = GraphedStep(self.integrate, [(noise, states, mask, mask)])

    @torch.inference_mode()
    def latents(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Tensor:
        """Return latents float32 [B, C, T]; a clip's noise is the original's for its seed."""
        noise = flow_sampler.noise(seeds, (self.field.frames, self.field.channels))
        texts = gather(prompts, self.tokens)
        return self.integrate(noise.to(texts.states.device), *texts).transpose(1, 2)

    def _integrate(
        self,
        times: Tensor,
        duration: Tensor,
        rotary: tuple[Tensor, Tensor],
        noise: Tensor,
        states: Tensor,
        live: Tensor,
        read: Tensor | None,
    ) -> Tensor:
        """Return latents float32 [B, T, C] from noise. Only launches work: nothing waits for the
        device, nothing comes from the host."""
        conditions = self.field.condition(states, live, read, duration, rotary)

        def velocity(latents: Tensor, index: int) -> Tensor:
            both = torch.cat([latents, latents]).to(states.dtype)
            empty, words = self.field.velocity(both, conditions, times[index]).float().chunk(2)
            return empty + self.guidance * (words - empty)

        return flow_sampler.euler(velocity, noise, self.schedule)
