"""The operations of a stage: how many ran, what they compute, what they read.

Imports torch: import it late.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from stabench.harness.profiling.stages import Stage

aten = torch.ops.aten


@dataclass
class Operations:
    """What was counted in one stage.

    `count`: ATen operations that compute or move something: no views, no allocations, no reads of
    a tensor's description. `flops`: two for each multiply-add of matrix products, convolutions and
    attention, by the precision they ran in; element-wise work and transforms count as none.
    `read_bytes`: what lay in memory when the stage began (weights, buffers, caches, inputs), once
    for every operation that reads it; of a table that is looked up, the rows taken. `moved_bytes`:
    all inputs and outputs of all operations, as if nothing were fused or stayed in a cache.
    `opaque`: names of operations that compute much and have no formula; with one, `flops` are
    too few.
    """

    count: int = 0
    flops: Counter[str] = field(default_factory=Counter)
    read_bytes: int = 0
    moved_bytes: int = 0
    opaque: set[str] = field(default_factory=set)


class OperationCounter(TorchDispatchMode):
    """Counts every ATen operation in effect, stage by stage; use its `stage` as a Watch.

    Under it torch runs compiled functions as they are written; CUDA graphs it cannot look into.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[Stage, Operations] = {}
        self._current = Operations()
        self._made: set[int] = set()

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count for this stage, then again for the one around it."""
        outer, self._current = self._current, self.stages.setdefault(stage, Operations())
        # What the stage around made lies in memory by now, and counts as read.
        self._made.clear()
        try:
            yield
        finally:
            self._current = outer
            self._made.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._overloadpacket in IDLE:
            return func(*args, **kwargs)
        if func._overloadpacket not in FORMULAS:
            with self:  # A composite operation is what it is composed of.
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if not func.is_view:
            self._count(func, args, kwargs, result)
        return result

    def _count(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        packet, current = func._overloadpacket, self._current
        read, made = list(_list_read(func, args, kwargs)), list(_list_tensors(result))
        made_bytes = sum(map(_count_bytes, made))
        current.count += 1
        current.moved_bytes += sum(map(_count_bytes, read)) + made_bytes
        # Resident is what the stage did not make itself; a tensor passed twice is read once.
        resident = {
            (_identify(tensor), tensor.storage_offset(), tensor.numel()): _count_bytes(tensor)
            for tensor in read
            if _identify(tensor) not in self._made
        }
        for size in resident.values():
            # A lookup reads the rows that it returns, not the whole table.
            current.read_bytes += min(size, made_bytes) if packet in LOOKUPS else size
        if packet in FORMULAS:
            flops = FORMULAS[packet](*args, **kwargs, out_val=result)
            current.flops[_name_precision(packet, made[0])] += flops
        elif packet in OPAQUE or func.namespace not in ("aten", "prim"):
            current.opaque.add(str(packet))
        # What works in place returns what it was given, which the stage did not make.
        inputs = {_identify(tensor) for tensor in _list_tensors((args, kwargs))}
        self._made |= {_identify(tensor) for tensor in made} - inputs


def _list_tensors(value: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _list_read(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[Tensor]:
    """Yield the tensors among the arguments, but for those that the operation overwrites."""
    arguments = func._schema.arguments
    named = {argument.name: argument for argument in arguments}
    pairs = [*zip(arguments, args, strict=False), *((named[key], kwargs[key]) for key in kwargs)]
    for argument, value in pairs:
        if argument.alias_info is None or not argument.alias_info.is_write:
            yield from _list_tensors(value)


def _identify(tensor: Tensor) -> int:
    # By its storage, which a tensor and all views of it share.
    return tensor.untyped_storage()._cdata


def _count_bytes(tensor: Tensor) -> int:
    """Return the size; of an expanded tensor, of what is there."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _name_precision(packet: Any, tensor: Tensor) -> str:
    """Return the data type, "tf32" for float32 that a GPU rounds to it."""
    name = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_cuda or name != "float32":
        return name
    if "conv" in packet.__name__:
        how = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]  # set late
    else:
        how = torch.backends.cuda.matmul.fp32_precision
    return name if how in ("ieee", "none") else "tf32"


def _count_matrix_vector(matrix: Tensor, vector: Tensor, *_: Any, **__: Any) -> int:
    return 2 * matrix.numel()


def _count_added_matrix_vector(_: Tensor, matrix: Tensor, *__: Any, **___: Any) -> int:
    return 2 * matrix.numel()


def _count_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Return FLOPs of queries [.., T, D] by keys [.., S, D], and weights by values [.., S, E]."""
    length = prod(query.shape[:-1])
    return 2 * length * key.shape[-2] * (query.shape[-1] + value.shape[-1])


# Torch's own formulas, and those of the operations that torch's counter leaves out.
FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten.mv: _count_matrix_vector,
    aten.dot: _count_matrix_vector,
    aten.addmv: _count_added_matrix_vector,
    aten._scaled_dot_product_flash_attention_for_cpu: _count_attention,
}

# Kernels that do the work of a whole layer, for which torch's counter has no formula.
OPAQUE = {
    getattr(aten, name)
    for name in (
        "_cudnn_rnn",
        "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
        "mkldnn_rnn_layer",
    )
}

# Operations that take some rows of a table, such as the embeddings of a few tokens.
LOOKUPS = {aten.embedding, aten.index_select, aten.index, aten.gather}

# Operations that start no work on a device.
IDLE = {
    getattr(aten, name)
    for name in (
        "_local_scalar_dense",
        "_unsafe_view",
        "empty",
        "empty_like",
        "empty_strided",
        "is_same_size",
        "lift_fresh",
        "new_empty",
        "new_empty_strided",
        "resize_",
        "set_",
        "sym_numel",
        "sym_size",
        "sym_storage_offset",
        "sym_stride",
    )
} | {torch.ops.prim.device, torch.ops.prim.layout}
