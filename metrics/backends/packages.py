"""Other projects' packages: found, and imported so that they run on a CPU build without a network.

Their wheels expect more than such a build has: torchvision's compiled operators (without their
schemas `import torchvision` fails, and `from transformers import ClapModel` beside it), and the
tokenizers and language model of the Hugging Face hub, which laion_clap asks for on import.
"""

import importlib
import importlib.util
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

MISSING_OPERATORS = ("nms", "qnms")
TORCHVGGISH = "TORCHVGGISH"
"""Environment variable: a folder that holds torchvggish's hubconf.py."""


def package_version(distribution: str) -> str:
    """Its version. Raises FileNotFoundError where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            f"backend '{distribution}' is not installed; `make crosscheck` makes an environment "
            "that has it"
        ) from error


@cache
def package(distribution: str) -> ModuleType:
    """The top module of `distribution`, imported offline. Raises FileNotFoundError."""
    package_version(distribution)
    define_torchvision_operators()
    stay_offline()
    return importlib.import_module(distribution.replace("-", "_"))


@cache
def define_torchvision_operators() -> None:
    """Declare the operators that torchvision describes on import, where its own do not load."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None:
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
    """Hub look-ups answer at once instead of being tried again for minutes."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants = importlib.import_module("huggingface_hub.constants")
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
    """laion_clap's `CLAP_Module` of an unfused architecture such as "HTSAT-tiny", not yet filled.

    Raises FileNotFoundError where the package is not installed.
    """
    laion_clap = package("laion-clap")
    importlib.import_module("clap_module.model").RobertaModel = LocalRoberta
    return laion_clap.CLAP_Module(enable_fusion=False, device="cpu", amodel=architecture).eval()


def torchvggish() -> Path:
    """Folder of torchvggish, which frechet-audio-distance takes from torch.hub.

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
    """frechet-audio-distance's VGGish without PCA and last ReLU (its defaults), not yet filled.

    Raises FileNotFoundError where the package or torchvggish is not there.
    """
    import torch

    distance = package("frechet-audio-distance")
    folder = torchvggish()
    load = torch.hub.load

    def local(repo_or_dir: str, model: str) -> Any:
        return load(str(folder), model, source="local", pretrained=False, postprocess=False)

    torch.hub.load = local
    try:
        return distance.FrechetAudioDistance(model_name="vggish", sample_rate=16000)
    finally:
        torch.hub.load = load
