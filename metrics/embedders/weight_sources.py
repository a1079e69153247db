"""Where a network's tensors come from: a folder of ours, a published file, or a seed."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from stabench.checkpoints.digests import digest
from stabench.checkpoints.random_weights import Draws, seed_then_name
from stabench.checkpoints.tensors import fill_network, read_tensors, read_torch
from stabench.metrics.embedders import weights as store

# Front ends within a network are constructed, never drawn.
KEPT = ("spectrogram_extractor.", "logmel_extractor.")
SMALL = 0.02


class Source(Protocol):
    """Weights, and what is known of them; `origin` and `licence` go into the provenance."""

    @property
    def origin(self) -> str:
        """Return what the weights are."""

    @property
    def licence(self) -> str:
        """Return the licence of the weights."""

    @property
    def sha256(self) -> str:
        """Return the hex digest of the weights. Raises FileNotFoundError."""

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        """Give `network` its tensors. Raises FileNotFoundError, or ValueError for a misfit."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors by our network's names.

        Raises FileNotFoundError, or ValueError for another content.
        """


@dataclass(frozen=True)
class Folder:
    """The layout of `metrics.embedders.weights`; `path` must not change while it is used."""

    path: Path
    origin: str = "own folder"
    licence: str = "unknown"

    @property
    def examinations(self) -> Path:
        """Return the folder of the records of their examinations as judges, if there are any."""
        return self.path

    @cached_property
    def sha256(self) -> str:
        return store.sha256(self.path)

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        store.load_into(network, self.path, derived)

    def tensors(self) -> Mapping[str, Tensor]:
        return read_tensors(self.path)


@dataclass(frozen=True)
class Published:
    """A PyTorch file in its author's layout; `translate` gives its tensors our network's names."""

    path: Path
    translate: Callable[[Mapping[str, Any]], Mapping[str, Tensor]]
    origin: str = "own file"
    licence: str = "unknown"

    @cached_property
    def sha256(self) -> str:
        """Return the digest of the file."""
        # It is kept beside the file's size and time: 2 GB are not read at every start.
        return digest(self.path)

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        fill_network(network, self.tensors(), self.path, derived)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the tensors. Raises FileNotFoundError, or ValueError for another content."""
        try:
            return self.translate(read_torch(self.path))
        except KeyError as error:
            raise ValueError(
                f"weights {self.path}: tensor {error} is missing; fetch the published file"
            ) from error


@dataclass(frozen=True)
class Seeded:
    """Random weights of full size: for speed, never for quality.

    Each tensor is drawn from a generator of its own name, so that neither order nor PyTorch's own
    initialisation plays a part. `build` makes the network.
    """

    build: Callable[[], nn.Module]
    seed: int = 0
    licence: str = "none (random)"

    @property
    def origin(self) -> str:
        return f"random, seed {self.seed}"

    @cached_property
    def sha256(self) -> str:
        """Return the digest of the drawn names, shapes and values, in order of their names."""
        hasher = hashlib.sha256()
        for name, tensor in sorted(self._draw_state(self.build().state_dict()).items()):
            hasher.update(f"{name} {tuple(tensor.shape)}".encode())
            hasher.update(tensor.contiguous().numpy().tobytes())
        return hasher.hexdigest()

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        network.load_state_dict(self._draw_state(network.state_dict()))

    def tensors(self) -> Mapping[str, Tensor]:
        return self._draw_state(self.build().state_dict())

    def _draw_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Draw what is learned, of variance 2 / fan-in, so that signals keep their size."""
        draws = Draws(
            self.seed,
            spread=2**0.5,
            constants={"bias": 0.0, "running_mean": 0.0},
            seed_of=seed_then_name,
            deviations={"bias_table": SMALL},
        )
        learned = {
            name: draws(name, tuple(tensor.shape))
            for name, tensor in state.items()
            if tensor.is_floating_point() and tensor.ndim > 0 and not name.startswith(KEPT)
        }
        return {**state, **learned}


def as_source(weights: "str | Path | Source") -> Source:
    """Return `weights`, a path as the folder that it names."""
    return Folder(Path(weights)) if isinstance(weights, (str, Path)) else weights


def folder(weights: "str | Path | Source") -> Path:
    """Return the folder that holds the network's config, too.

    Raises TypeError where it is not a path.
    """
    if isinstance(weights, (str, Path)):
        return Path(weights)
    raise TypeError(
        f"weights are a {type(weights).__name__}, expected a folder to read the config from; give "
        "the config with them"
    )
