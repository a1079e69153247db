"""What the backends share: the package's own object, filled from a checkpoint or from a seed."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metrics.backends.packages import package_version
from metrics.embedders import weights as store
from metrics.embedders.network import NetworkEmbedder
from metrics.embedders.sources import Published, Source

PUBLISHED, RANDOM = "published", "random"
SEED = 0


@dataclass(frozen=True)
class AsBuilt:
    """Random weights as the package itself draws them, from PyTorch's generator at `SEED`."""

    build: Callable[[], nn.Module]
    origin: str = f"random, seed {SEED}"
    licence: str = "none (random)"

    @cached_property
    def sha256(self) -> str:
        """Of the names, shapes and values, in order of their names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._state.items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        store.fill(network, self._state, self.origin, derived)

    @cached_property
    def _state(self) -> Mapping[str, Tensor]:
        return _seeded(self.build).state_dict()


class Backend(NetworkEmbedder):
    """Half of `metrics.contract.Embedder`: a network that another project's package builds.

    A subclass names the `distribution` and its `checkpoint` in the catalogue, builds the package's
    object (whose `model` is the network), and adds `rate_hz`, `parts` and `embed`.
    """

    distribution: ClassVar[str]
    checkpoint: ClassVar[str]

    def __init__(self, weights: str | Path = PUBLISHED) -> None:
        """`weights`: "published", "random" or a checkpoint file. Raises FileNotFoundError."""
        self.version = package_version(self.distribution)
        super().__init__(self._source(str(weights)))

    def peer(self) -> Any:
        """The package's own object, its network not filled yet."""
        raise NotImplementedError

    def named(self, content: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """The tensors of a checkpoint's content by the names that the network has."""
        raise NotImplementedError

    def parts(self) -> dict[str, Any]:
        """What decides the result besides package and weights, in values of JSON."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        return {self.distribution: self.version, **self.parts()}

    def load(self, device: str, precision: str | None = None) -> None:
        """Raises FileNotFoundError, or ValueError for weights or a precision that do not fit."""
        if precision not in (None, "float32"):
            raise ValueError(
                f"backend '{self.distribution}': precision '{precision}' is not offered; "
                "use 'float32'"
            )
        super().load(device)

    def _build(self) -> None:
        self._peer = _seeded(self.peer)
        self.source.fill(self._peer.model)
        self._peer.model.to(self._device).eval()

    def _source(self, weights: str) -> Source:
        if weights == RANDOM:
            return AsBuilt(lambda: self.peer().model)
        if weights == PUBLISHED:
            from checkpoints.catalogue import entry
            from checkpoints.store import locate

            origin = f"{PUBLISHED}: {self.checkpoint}"
            licence = entry(self.checkpoint).licence
            return Published(locate(self.checkpoint), self.named, origin, licence)
        if not Path(weights).is_file():
            raise FileNotFoundError(
                f"weights '{weights}' are missing; give '{PUBLISHED}', '{RANDOM}' or the path of "
                "a file"
            )
        return Published(Path(weights), self.named, f"own file {Path(weights).name}")


def _seeded(build: Callable[[], Any]) -> Any:
    """What `build` makes from `SEED`; PyTorch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
