"""What goes between host and device, noted on tensors that hold no data."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")


class Watch(TorchDispatchMode):
    """Notes the operations that wait for a value, and those that take data to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.crossings = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.name().removeprefix("aten::").split(".")[0]
        tensors = [x for x in tree_leaves([args, kwargs, result]) if isinstance(x, torch.Tensor)]
        on_device = {tensor.is_meta for tensor in tensors}
        if name in WAITS and True in on_device:
            self.waits.append(name)
        if len(on_device) == 2 and any(x.dim() for x in tensors if not x.is_meta):
            self.crossings.append(name)
        return result
