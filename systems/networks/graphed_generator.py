"""The fast path of the second phase: sampler and decoder, each one CUDA graph."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stabench.systems.networks import flow_sampler
from stabench.systems.networks.cuda_graph import Graphed, Pool
from stabench.systems.networks.latent_generator import LatentGenerator, batched, padded

# Contexts of any length are padded to a multiple of so many tokens: one graph for each.
CONTEXT_STEP = 128
# 10.24 s of HuBERT frames; longer contexts run without a graph.
LONGEST_CONTEXT = 512


class Contexts(NamedTuple):
    """The contexts to capture for: `width`, and `tokens` where all clips have equally many."""

    width: int
    tokens: int | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of tokens to capture for."""
        if self.tokens is not None:
            return (self.tokens,)
        return tuple(range(CONTEXT_STEP, LONGEST_CONTEXT + 1, CONTEXT_STEP))


@dataclass(frozen=True)
class GraphedGenerator(LatentGenerator):
    """As LatentGenerator. All steps, with guidance, and what they share (the keys and values of
    the context) are one graph for each of `batches` and each size of context, the decoder's network
    another. Everything is captured when this is made; other batches and longer contexts run
    without a graph.
    """

    contexts: Contexts
    batches: Sequence[int] = (1,)
    pool: Pool = None
    _samplers: dict[tuple[int, int], Graphed] = field(default_factory=dict, repr=False)
    _decoders: dict[int, Graphed] = field(default_factory=dict, repr=False)

    @torch.inference_mode()
    def __post_init__(self) -> None:
        weight = self.udit.time_ada.weight
        modulations = flow_sampler.modulations(self.udit, self.config)
        shape = (self.udit.config.in_channels, self.latent_frames)
        for batch in self.batches:
            start = torch.zeros(batch, *shape, device=weight.device)
            self._decoders[batch] = Graphed(super().expanded, start, pool=self.pool)
            for size in self.contexts.sizes:
                context = weight.new_zeros(batch, size, self.contexts.width)
                mask = torch.ones(batch, size, dtype=torch.bool, device=weight.device)
                # Where all clips have equally many tokens none is padding, and no mask goes in.
                self._samplers[batch, size] = Graphed(
                    partial(self._integrate, modulations),
                    *(start, context, mask)[: 2 if self.contexts.tokens else 3],
                    pool=self.pool,
                )

    def latents(self, contexts: Sequence[Tensor], seeds: Sequence[int]) -> Tensor:
        """As LatentGenerator; the noise goes straight from the host into the graph's buffer."""
        longest = max(context.shape[1] for context in contexts)
        size = self.contexts.tokens or -(-longest // CONTEXT_STEP) * CONTEXT_STEP
        graphed = self._samplers.get((len(contexts), size))
        if graphed is None:
            return super().latents(contexts, seeds)
        start = flow_sampler.noise(seeds, (self.udit.config.in_channels, self.latent_frames))
        if self.contexts.tokens:
            return graphed(start, batched(contexts)[0])
        return graphed(start, *padded(contexts, size))

    def expanded(self, latents: Tensor) -> Tensor:
        """As LatentGenerator."""
        graphed = self._decoders.get(len(latents))
        return super().expanded(latents) if graphed is None else graphed(latents)

    def _integrate(
        self, modulations: Any, start: Tensor, context: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        return flow_sampler.integrate(self.udit, start, context, mask, modulations, self.config)
