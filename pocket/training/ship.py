"""From trained networks to `pocket/weights/`: half-precision safetensors, configs beside them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from stabench.metrics.embedders import weights as store
from stabench.metrics.embedders.cnn14 import Cnn14, TaggerCard
from stabench.metrics.embedders.vggish import Vggish
from stabench.pocket.sounds.events import LABELS
from stabench.systems.networks.checkpoint import save_part

if TYPE_CHECKING:
    from transformers import ClapModel

LIMIT_BYTES = 15_000_000
Network = TypeVar("Network", bound=nn.Module)


def ship_part(folder: Path, name: str, network: nn.Module) -> None:
    """Ship a generator's part as `<name>.safetensors`, float16 (it is read back into float32)."""
    save_part(folder / f"{name}.safetensors", network, "float16")
    _check_size(folder / f"{name}.safetensors")


def ship_overlay(folder: Path, name: str, network: nn.Module, shared: str) -> None:
    """Do as `ship_part`, without the tensors whose names hold `shared`: another file has those."""
    folder.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    kept = {key: value.half().cpu() for key, value in state.items() if shared not in key}
    save_file(kept, folder / f"{name}.safetensors")
    _check_size(folder / f"{name}.safetensors")


def ship_tagger(folder: Path, network: Cnn14, limits: np.ndarray) -> None:
    """Ship the tagger with its class names and the logits that mean "heard"."""
    card = TaggerCard(
        network=network.config, labels=LABELS, thresholds=tuple(round(float(x), 4) for x in limits)
    )
    store.save(folder, network.half(), card.model_dump_json(indent=1) + "\n")


def ship_vggish(folder: Path, network: Vggish) -> None:
    store.save(folder, network.half(), network.config.model_dump_json(indent=1) + "\n")


def ship_clap(folder: Path, network: "ClapModel") -> None:
    config = json.loads(network.config.to_json_string(use_diff=True))
    # The file is to be the same, whichever release wrote it.
    config.pop("transformers_version", None)
    store.save(folder, network.half(), json.dumps(config, indent=1, sort_keys=True) + "\n")


def halve(network: Network) -> Network:
    """Round a network's weights to what float16 holds, so that it is measured as it is shipped."""
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().to(tensor.dtype))
    return network


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        raise ValueError(f"{path} has {size} bytes, allowed are {LIMIT_BYTES}; train a smaller one")
