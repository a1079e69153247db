"""A toy that computes with torch: products of known size, so that every count can be foretold."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from stabench.harness.profiling.profile import Work
from stabench.systems.contract import Representation, Spans, Utterance, Waveform

WIDTH = 64
STEPS = 3
ROWS = 10


class Multiplier:
    """`represent` multiplies once and reads one value; `generate` multiplies `steps` times."""

    sample_rate = 16_000
    speech_rate_hz = 16_000

    def __init__(self, broken_under: str = "", steps: int = STEPS) -> None:
        self._broken_under = broken_under
        self._steps = steps
        self.eager_runs = 0

    def load(self, device: str, dtype: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self._weight = torch.randn(WIDTH, WIDTH, generator=generator)
        self._bias = torch.zeros(WIDTH)

    @contextmanager
    def eager(self) -> Iterator[None]:
        self.eager_runs += 1
        yield

    @torch.inference_mode()
    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        if self._broken_under == "counter" and torch._C._len_torch_dispatch_stack():
            raise RuntimeError("no one may\nlook at this")
        with spans("encode"):
            rows = torch.from_numpy(speech.samples[: ROWS * WIDTH]).view(ROWS, WIDTH)
            hidden = torch.nn.functional.linear(rows, self._weight, self._bias)
        with spans("pick"):
            loudest = hidden.max().item()
        return Representation((hidden, loudest), "said", 1)

    @torch.inference_mode()
    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        with spans("sampler"):
            sounds = [self._sound(one.payload[0]) for one in representations]
        samples = [sound.numpy().astype(np.float32) for sound in sounds]
        return [Waveform(one, self.sample_rate) for one in samples]

    def _sound(self, hidden: torch.Tensor) -> torch.Tensor:
        for _ in range(self._steps):
            hidden = (hidden @ self._weight).tanh()
        return hidden.flatten()


def work(**options: str) -> tuple[Multiplier, Work]:
    """A loaded toy, and one clip of it."""
    system = Multiplier(**options)
    system.load("cpu", "float32")
    samples = np.linspace(-1, 1, 1_600, dtype=np.float32)
    return system, Work(system, Utterance("clip0", samples, 16_000), 7, ("represent", "generate"))
