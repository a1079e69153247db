"""The device that training runs on: chosen once, fed from the CPU, emptied to the CPU.

Everything random is drawn on the CPU, so that a seed means the same batches and the same noise on
every device. Only the dropout inside networks draws where the network is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

NAMES = ("cpu", "cuda")


def choose(name: str | None = None) -> torch.device:
    """The device called `name`; None: cuda where torch sees one, else cpu. Says which on stdout.

    Raises ValueError for "cuda" where torch sees none.
    """
    seen = torch.cuda.is_available()
    name = name or ("cuda" if seen else "cpu")
    if name == "cuda" and not seen:
        raise ValueError(
            f"device 'cuda': torch {torch.__version__} sees no CUDA device; use --device cpu"
        )
    if name == "cuda":
        print(f"device: cuda ({torch.cuda.get_device_name()}), TF32 while training", flush=True)
    else:
        print(f"device: {name} ({torch.get_num_threads()} threads)", flush=True)
    return torch.device(name)


def send(batch: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """`batch` as a tensor on `device`; the CPU does not wait for a copy to a GPU (pinned)."""
    tensor = torch.from_numpy(batch) if isinstance(batch, np.ndarray) else batch
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_cpu(state: object) -> object:
    """`state` (dicts and lists of tensors and numbers) with every tensor on the CPU."""
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: to_cpu(value) for key, value in state.items()}
    return [to_cpu(value) for value in state] if isinstance(state, list) else state


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Inside, a GPU may (or must not) round the factors of float32 products and convolutions to
    TF32 (10 bits of mantissa, float32 sums). Changes nothing on a CPU."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
