"""A caption's embedding by CLAP, as Table 1's topline reads it: one token."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError


class ClapText:
    """The text tower of a registered embedder: rows float32 [1, D] of length one.

    The same code, weights and checks as the CLAP score's. Raises StabenchError for an embedder
    that reads no text.
    """

    reads = "captions"
    rate_hz, batch, equal = 0, 32, False

    def __init__(self, embedder: str = "clap-630k", weights: str = "published") -> None:
        make = registry.load("embedders", embedder)
        options = {"weights": weights}
        registry.check_options(f"embedder '{embedder}'", make, options)
        self._embedder: Any = make(**options)
        if not hasattr(self._embedder, "embed_text"):
            raise StabenchError(f"embedder '{embedder}' reads no text; use clap-630k")

    def provenance(self) -> dict[str, Any]:
        """Return the embedder's identity: weights, network, tokenizer."""
        return {"identity": self._embedder.identity, "weights": self._embedder.sha256}

    def load(self, device: str) -> None:
        """Read the weights. Raises FileNotFoundError, or ValueError for a broken text tower."""
        self._embedder.load(device)

    def encode(self, clips: Sequence[str]) -> list[tuple[np.ndarray, ...]]:
        """Return one token float32 [1, D] of each caption."""
        return [(row[None],) for row in self._embedder.embed_text(list(clips))]
