"""What the backends share: the package's own object, filled from a checkpoint or from a seed."""

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stabench.checkpoints.tensors import fill_network
from stabench.metrics.embedders.network import NetworkEmbedder
from stabench.metrics.embedders.weight_sources import Published, Source

MISSING_OPERATORS = ("nms", "qnms")
# Environment variable: a folder that holds torchvggish's hubconf.py.
TORCHVGGISH = "TORCHVGGISH"


def package_version(distribution: str) -> str:
    """Return its version. Raises FileNotFoundError where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            f"backend '{distribution}' is not installed; `make peers` makes an environment that "
            "has it: .venv-crosscheck/bin/stabench"
        ) from error


@cache
def package(distribution: str) -> ModuleType:
    """Return the top module of `distribution`, imported offline. Raises FileNotFoundError."""
    package_version(distribution)
    define_torchvision_operators()
    stay_offline()
    return importlib.import_module(distribution.replace("-", "_"))


@cache
def define_torchvision_operators() -> None:
    """Declare the operators that torchvision describes on import, where its own do not load."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.submodule_search_locations is None:
        return
    with suppress(OSError):
        torch.ops.load_library(Path(spec.submodule_search_locations[0]) / "_C.so")
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in MISSING_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARIES.append(library)  # the operators vanish with their library


_LIBRARIES: list[Any] = []


def stay_offline() -> None:
    """Let look-ups on the hub fail at once instead of being tried again for minutes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants: Any = importlib.import_module("huggingface_hub.constants")
    constants.HF_HUB_OFFLINE = True  # read from the environment when first imported


class LocalRoberta:
    """Stands for `RobertaModel` in laion_clap, which downloads one only to overwrite it.

    The language model has the size of roberta-base; the CLAP checkpoint brings its weights.
    """

    @staticmethod
    def from_pretrained(_name: str) -> Any:
        from transformers import RobertaConfig, RobertaModel

        return RobertaModel(
            RobertaConfig(
                vocab_size=50265,
                max_position_embeddings=514,
                type_vocab_size=1,
                layer_norm_eps=1e-5,
            )
        ).eval()


def clap_module(architecture: str) -> Any:
    """Build laion_clap's unfused `CLAP_Module`, not yet filled, of, say, "HTSAT-tiny".

    Raises FileNotFoundError where the package is not installed.
    """
    laion_clap = package("laion-clap")
    model: Any = importlib.import_module("clap_module.model")
    model.RobertaModel = LocalRoberta
    return laion_clap.CLAP_Module(enable_fusion=False, device="cpu", amodel=architecture).eval()


def torchvggish() -> Path:
    """Return the folder of torchvggish, which frechet-audio-distance takes from torch.hub.

    Raises FileNotFoundError.
    """
    import torch

    named = os.environ.get(TORCHVGGISH)
    hub = Path(torch.hub.get_dir())
    cached = (hub / f"harritaylor_torchvggish_{branch}" for branch in ("main", "master"))
    for folder in [Path(named)] if named else cached:
        if (folder / "hubconf.py").is_file():
            return folder
    raise FileNotFoundError(
        f"torchvggish is not in {named or hub}; frechet-audio-distance takes its VGGish from "
        f"there: set {TORCHVGGISH} to a checkout of harritaylor/torchvggish"
    )


def vggish_distance() -> Any:
    """Build frechet-audio-distance's VGGish, not yet filled, without PCA and last ReLU (defaults).

    Raises FileNotFoundError where the package or torchvggish is not there.
    """
    from unittest.mock import patch

    import torch

    distance = package("frechet-audio-distance")
    folder = torchvggish()
    load = torch.hub.load

    def local(repo_or_dir: str, model: str) -> Any:
        return load(str(folder), model, source="local", pretrained=False, postprocess=False)

    with patch.object(torch.hub, "load", local):
        return distance.FrechetAudioDistance(model_name="vggish", sample_rate=16000)


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
        """Return the digest of the names, shapes and values, in order of their names."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._state.items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def fill(self, network: nn.Module, derived: tuple[str, ...] = ()) -> None:
        fill_network(network, self._state, self.origin, derived)

    def tensors(self) -> Mapping[str, Tensor]:
        return self._state

    @cached_property
    def _state(self) -> Mapping[str, Tensor]:
        return _build_seeded(self.build).state_dict()


class Backend(NetworkEmbedder):
    """Half of `metrics.contract.Embedder`: a network that another project's package builds.

    A subclass names the `distribution` and its `checkpoint` in the catalogue, builds the package's
    object (whose `model` is the network), and adds `rate_hz`, `parts` and `embed`.
    """

    distribution: ClassVar[str]
    checkpoint: ClassVar[str]

    def __init__(self, weights: str | Path = PUBLISHED) -> None:
        """Take `weights`: "published", "random" or a checkpoint file. Raises FileNotFoundError."""
        self.version = package_version(self.distribution)
        super().__init__(self._choose_source(str(weights)))

    def peer(self) -> Any:
        """Return the package's own object, its network not filled yet."""
        raise NotImplementedError

    def named(self, content: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """Return the tensors of a checkpoint's content by the names that the network has."""
        raise NotImplementedError

    def parts(self) -> dict[str, Any]:
        """Return what decides the result besides package and weights, in values of JSON."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        return {self.distribution: self.version, **self.parts()}

    def load(self, device: str, precision: str | None = None) -> None:
        """Build and fill the network.

        Raises FileNotFoundError, or ValueError for weights or a precision that do not fit.
        """
        if precision not in (None, "float32"):
            raise ValueError(
                f"backend '{self.distribution}': precision '{precision}' is not offered; "
                "use 'float32'"
            )
        super().load(device)

    def _build(self) -> None:
        self._peer = _build_seeded(self.peer)
        self.source.fill(self._peer.model)
        self._peer.model.to(self._device).eval()

    def _choose_source(self, weights: str) -> Source:
        if weights == RANDOM:
            return AsBuilt(lambda: self.peer().model)
        if weights == PUBLISHED:
            from stabench.checkpoints.catalogue import entry
            from stabench.checkpoints.store import locate

            origin = f"{PUBLISHED}: {self.checkpoint}"
            licence = entry(self.checkpoint).licence
            return Published(locate(self.checkpoint), self.named, origin, licence)
        if not Path(weights).is_file():
            raise FileNotFoundError(
                f"weights '{weights}' are missing; give '{PUBLISHED}', '{RANDOM}' or the path of "
                "a file"
            )
        return Published(Path(weights), self.named, f"own file {Path(weights).name}")


def _build_seeded(build: Callable[[], Any]) -> Any:
    """Return what `build` makes from `SEED`; PyTorch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
