"""The four networks of a STAR: built, filled from files or at random, put on a device."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from stabench.checkpoints import catalogue, store
from stabench.checkpoints.digests import sha256
from stabench.checkpoints.random_weights import allocate, as_torch, hollow, randomise
from stabench.checkpoints.tensors import MODEL, PICKLED, fill_network, find_tensors_file
from stabench.systems.networks.checkpoint import load_part, part_file
from stabench.systems.networks.ezaudio_weights import read_vae, recognise, vae_file
from stabench.systems.networks.udit import UDiT
from stabench.systems.networks.vae import build_vae
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import StarConfig
from stabench.systems.star.published_encoder import fill_encoder
from stabench.systems.star.speech_encoder import build_speech_encoder

RANDOM = "random"
# One file of tensors, or several, of which later ones overrule earlier ones; or the name of weights
# in the catalogue. Published parts are read as they are: a transformers folder as speech encoder,
# EzAudio's `1m.pt` as VAE.
Files = str | Path | Sequence[str | Path]
# A folder of `<part>.safetensors`, a table of part to file (or files), or "random".
Weights = str | Path | Mapping[str, Files]
NAMES = ("speech_encoder", "bridge", "udit", "vae")


class Parts(NamedTuple):
    """The loaded networks; `bridge` is None for "w/o BridgeNet"."""

    speech_encoder: Any
    bridge: Any
    udit: Any
    vae: Any


@runtime_checkable
class Fuses(Protocol):
    """A part some of whose weights can be multiplied out for inference."""

    def fuse(self) -> object: ...


@runtime_checkable
class CompilesBlocks(Protocol):
    """A part that torch.compile is of use to."""

    def compile_blocks(self) -> None: ...


def build_parts(config: StarConfig, seed: int) -> Parts:
    """All parts in float32 on the CPU with the random weights of `seed`."""
    return Parts(*(read_part(config, name, RANDOM, seed) for name in NAMES))


def read_part(config: StarConfig, name: str, weights: Weights, seed: int) -> nn.Module | None:
    """Return a part as files hold it, float32 on the CPU; None for the bridge of a system without.

    Raises FileNotFoundError or ValueError as `load_part`.
    """
    builders: dict[str, Callable[[], nn.Module]] = {
        "speech_encoder": lambda: build_speech_encoder(config.encoder),
        "udit": lambda: UDiT(config.udit),
        "vae": lambda: build_vae(config.vae),
    }
    bridge = config.bridge
    if bridge is not None:
        builders["bridge"] = lambda: Bridge(bridge)
    elif name == "bridge":
        return None
    # Hollow: what is about to be filled need not be initialised first.
    part = hollow(builders[name])
    if weights == RANDOM:
        return randomise(part, as_torch(seed, f"{name}."))
    if not isinstance(weights, Mapping):
        load_part(part_file(Path(weights), name), allocate(part))
    elif name in weights:
        _load_files(name, weights[name], allocate(part))
    else:
        raise ValueError(f"weights names no file for {name!r}; add {name} = ... to the table")
    return part


def load(
    config: StarConfig, name: str, weights: Weights, seed: int, device: str, dtype: torch.dtype
) -> nn.Module | None:
    """One part, ready for inference; None for the bridge of a system without.

    Raises FileNotFoundError or ValueError as `load_part`.
    """
    part = read_part(config, name, weights, seed)
    if part is None:
        return None
    # Before the cast: gains are multiplied into weights in float32 and rounded once.
    if isinstance(part, Fuses):
        part.fuse()
    return cast(part.eval(), device, dtype)


def cast(part: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """Move to `device`, parameters to `dtype`.

    Buffers (mel filters, windows, latent scales) stay float32, as does every module whose
    `keeps_float32` is set: half of their digits would be felt, and they cost nothing.
    """
    part.to(device)
    if getattr(part, "keeps_float32", False):
        return part
    # Module by module instead of part.to(dtype), which would cast the buffers as well.
    for parameter in part.parameters(recurse=False):
        parameter.data = parameter.data.to(dtype)
    for child in part.children():
        cast(child, device, dtype)
    return part


def digests(weights: Weights) -> str | dict[str, str]:
    """sha256 of every weights file, by part; "random" for none."""
    if weights == RANDOM:
        return RANDOM
    if isinstance(weights, Mapping):
        return {
            part: sha256(
                _find_file(part, find_place(files)) if isinstance(files, str | Path) else files
            )
            for part, files in weights.items()
        }
    files = sorted(Path(weights).glob("*.safetensors"))
    return {path.stem: sha256(path) for path in files}


def find_place(files: str | Path) -> Path:
    """Return the path, or where the weights of that name in the catalogue lie, once verified."""
    place = Path(files)
    if place.exists() or str(files) not in catalogue.entries():
        return place
    entry = catalogue.entry(str(files))
    place = store.locate(entry.name)
    store.verify(place, entry)
    return place


def _find_file(name: str, place: Path) -> Path:
    """Return `place`, or the file of tensors in it if it is a folder."""
    if not place.is_dir():
        return place
    return vae_file(place) if name == "vae" else find_tensors_file(place)


def _load_files(name: str, files: Files, part: Any) -> None:
    """Fill a part from files of ours, or from what others published.

    Raises FileNotFoundError or ValueError as `load_part`; ValueError for EzAudio's DiT, too.
    """
    if not isinstance(files, str | Path):
        load_part([Path(each) for each in files], part)
        return
    path = _find_file(name, find_place(files))
    # By these names only the library's folders call theirs, whether the folder was given or not.
    if name == "speech_encoder" and path.name in (MODEL, PICKLED):
        fill_encoder(part, path.parent)
        return
    published = recognise(path)
    if name == published == "vae":
        fill_network(part, read_vae(path, part), path)
    elif name == published == "udit":
        # Its shapes would fit after the fold, and STAR's sampler would make noise of its v.
        raise ValueError(
            f"{path}: EzAudio's DiT, which predicts v from FLAN-T5's states: from it STAR's can "
            "be trained (stabench.systems.networks.ezaudio_weights.read_udit), but it is none; "
            "give a trained one as udit, or run EzAudio itself"
        )
    else:
        load_part(path, part)
