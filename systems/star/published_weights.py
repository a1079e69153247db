"""A checkpoint of STAR's authors as our bridge and DiT, should one be had.

Whether any may be downloaded was not checked (catalogue entry "star"), and none was opened here:
the names are those of the authors' source. A bridge has them in stage 1 without a prefix, in a
whole checkpoint behind one, which is read off the query tokens; the DiT is under `backbone.`.

    python -m stabench.systems.star.published_weights CHECKPOINT FOLDER

writes `bridge.safetensors` and `udit.safetensors`, for `weights = { bridge = ..., udit = ... }`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from stabench.checkpoints.random_weights import allocate, hollow
from stabench.checkpoints.tensors import fill_network, read_torch
from stabench.systems.networks.checkpoint import part_file, save_part
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.bridge import Bridge, from_star_state_dict
from stabench.systems.star.config import StarConfig

BACKBONE, QUERIES = "backbone.", "audio_query_tokens"
# What a bridge is made of in the authors' names, the classifier of stage 1 among it.
BRIDGE = ("audio_Qformer.bert.", QUERIES, "hiddin_projection.", "projection.")
# Where trainers put a state dict within what they save.
WRAPPERS = ("state_dict", "model")
NAMED = 3


class StarState(NamedTuple):
    """Tensors of the bridge and of the DiT by our names, and the names that belong to neither."""

    bridge: dict[str, Tensor]
    udit: dict[str, Tensor]
    left_over: tuple[str, ...]


def split_star_state(state: Mapping[str, Tensor]) -> StarState:
    """Return the parts of a state dict in the authors' names.

    A checkpoint of stage 1 has no DiT, one of "w/o BridgeNet" no bridge: that part is empty then.
    Raises ValueError for a state dict with neither, and for one with two sets of query tokens.
    """
    prefixes = [key.removesuffix(QUERIES) for key in state if key.endswith(QUERIES)]
    if len(prefixes) > 1:
        raise ValueError(f"STAR: {len(prefixes)} tensors end in {QUERIES}, expected one bridge")
    bridge: dict[str, Tensor] = {}
    udit: dict[str, Tensor] = {}
    left_over = []
    for key, value in state.items():
        inner = key.removeprefix(prefixes[0]) if prefixes and key.startswith(prefixes[0]) else ""
        if inner.startswith(BRIDGE):
            bridge[inner] = value
        elif key.startswith(BACKBONE):
            udit[key.removeprefix(BACKBONE)] = value
        else:
            left_over.append(key)
    if not bridge and not udit:
        some = ", ".join(left_over[:NAMED]) or "no tensor"
        raise ValueError(
            f"STAR: no tensor begins with {BACKBONE} or ends in {QUERIES}, there are {some}; give "
            "a checkpoint of the authors' training"
        )
    return StarState(from_star_state_dict(bridge), udit, tuple(left_over))


def convert_checkpoint(path: Path, folder: Path, config: StarConfig | None = None) -> StarState:
    """Write the parts that a checkpoint has into `folder`, one file each; return them all.

    Raises FileNotFoundError, or ValueError for what does not fit the networks of `config`.
    """
    content: Any = read_torch(path)
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        content = inner if isinstance(inner, Mapping) else content
    parts = split_star_state(content)
    config = config or StarConfig()
    bridge = config.bridge
    networks: dict[str, nn.Module] = {}
    if parts.bridge and bridge:
        networks["bridge"] = hollow(lambda: Bridge(bridge))
    if parts.udit:
        networks["udit"] = hollow(lambda: UDiT(config.udit))
    # All are fitted before any is written: half a checkpoint would pass for a whole one.
    for name, network in networks.items():
        fill_network(allocate(network), getattr(parts, name), f"{path}, {name}")
    for name, network in networks.items():
        save_part(part_file(folder, name), network)
    return parts


if __name__ == "__main__":
    checkpoint, folder = map(Path, sys.argv[1:3])
    converted = convert_checkpoint(checkpoint, folder)
    sizes = {name: len(getattr(converted, name)) for name in ("bridge", "udit")}
    print(f"tensors: {sizes}; left over: {', '.join(converted.left_over) or 'none'}")
