"""Pseudo-random weights in the layouts in which the real ones are published.

Each tensor comes from a generator seeded by the CRC of its name, at a scale at which signals
neither die nor explode: every layer then matters to the result.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

# Tensors that the architecture computes: front ends and masks.
KEPT = ("spectrogram_extractor", "logmel_extractor", "attn_mask")


def pseudo(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the tensor of a published name, float32."""
    z = np.random.RandomState(crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        z = 1 + 0.1 * abs(z)
    elif name.endswith("running_mean"):
        z = 0.1 * z
    elif name.endswith("bias") or "bias_table" in name:
        z = 0.02 * z
    elif z.ndim == 1:
        z = 1 + 0.1 * z
    else:
        z = z * np.sqrt(2 / np.prod(shape[1:]))
    return np.asarray(z, np.float32)


def filled(network: "nn.Module") -> dict[str, "Tensor"]:
    """Return the network's state with every learnt tensor replaced by a pseudo-random one."""
    import torch

    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.ndim and not any(part in name for part in KEPT):
            state[name] = torch.from_numpy(pseudo(name, tuple(tensor.shape)))
    return state


def write_vggish(path: Path, state: Mapping[str, "Tensor"]) -> None:
    """Write as torchvggish publishes: tensors by name."""
    _save(path, dict(state))


def write_cnn14(path: Path, state: Mapping[str, "Tensor"]) -> None:
    """Write as PANNs publishes: under "model", beside the number of training steps."""
    _save(path, {"iteration": 600000, "model": dict(state)})


def write_clap(path: Path, state: Mapping[str, "Tensor"]) -> None:
    """Write as LAION publishes: under "state_dict", prefixed, with the text branch's positions."""
    import torch

    named = {f"module.{name}": value for name, value in state.items()}
    named["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    _save(path, {"epoch": 45, "name": "pseudo", "state_dict": named})


def _save(path: Path, content: dict[str, object]) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
