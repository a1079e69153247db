"""Systems that run out of memory, as PyTorch and Python say it."""

from stabench.systems.contract import Representation, Spans, Waveform
from stabench.systems.star.star import StarDac


class Exhausted(StarDac):
    """STAR with the codec's encoder, and no room for a waveform."""

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        import torch

        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total capacity of 8 GiB"
        )


class Bloated(StarDac):
    """The same, whose weights do not even fit."""

    def load(self, device: str, dtype: str) -> None:
        raise MemoryError("cannot allocate 20 GiB")
