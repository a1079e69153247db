"""One function of fixed shapes, launched as one CUDA graph."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE as Handle
else:
    Handle = tuple[int, int]

# Runs before a capture: the first compile, choose kernels and fill caches.
WARM_UPS = 3
# Where graphs that share it keep what they compute on the way; None on a CPU.
Pool = Handle | None
_REPLAYING = ContextVar("replaying", default=True)


@contextmanager
def without_graphs() -> Iterator[None]:
    """Inside, what would be replayed is run as it is: the same arithmetic, launch by launch.

    For those who look at every operation; see `eager` in systems/contract.py.
    """
    before = _REPLAYING.set(False)
    try:
        yield
    finally:
        _REPLAYING.reset(before)


def replaying() -> bool:
    """False inside `without_graphs`."""
    return _REPLAYING.get()


def new_pool(device: torch.device) -> Pool:
    """A memory pool for graphs that never run at the same time."""
    return torch.cuda.graph_pool_handle() if device.type == "cuda" else None


class Graphed:
    """`function` of tensors shaped like `examples`, and of nothing else that changes.

    On a GPU it is captured here, and a call copies its inputs into fixed buffers, replays the graph
    and copies the output out: the time of hundreds of launches goes. `function` must only launch
    work (no waiting for the device, no copies from the host). On a CPU, and inside
    `without_graphs`, the same buffers are used, and `function` runs as it is.
    """

    def __init__(
        self, function: Callable[..., Tensor], *examples: Tensor, pool: Pool = None
    ) -> None:
        self._function = function
        # A replay reads the addresses of the capture, so that the inputs must always lie there.
        self._buffers = [example.clone() for example in examples]
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._buffers[0].is_cuda:
            with torch.inference_mode(), torch.cuda.device(self._buffers[0].device):
                self._capture(pool)

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The output for inputs of the examples' shapes; they may lie on the host."""
        for buffer, tensor in zip(self._buffers, inputs, strict=True):
            # copy_ would broadcast a smaller input over the buffer without a word.
            if tensor.shape != buffer.shape:
                raise ValueError(
                    f"input is {tuple(tensor.shape)}, captured was {tuple(buffer.shape)}; "
                    "pad it, or run it without a graph"
                )
            buffer.copy_(tensor, non_blocking=True)
        if self._graph is None or not replaying():
            return self._function(*self._buffers).clone()
        self._graph.replay()
        # Any other graph of the pool may overwrite the graph's own output.
        return self._output.clone()

    def _capture(self, pool: Pool) -> None:
        # PyTorch asks for a side stream here: what the first runs set up must not be captured.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), _fastest_convolutions():
            for _ in range(WARM_UPS):
                self._function(*self._buffers)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with _fastest_convolutions(), torch.cuda.graph(self._graph, pool=pool):
            self._output = self._function(*self._buffers)


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms: a captured choice is kept, so it is worth the search."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class GraphedStep:
    """`step` of tensors as one graph for each of `examples`, tuples of inputs.

    Everything is captured when this is made. Inputs of other shapes run without a graph.
    """

    def __init__(self, step: Callable[..., Tensor], examples: Iterable[tuple[Tensor, ...]]) -> None:
        # The largest first: the others fit into its memory.
        ordered = sorted(examples, key=lambda inputs: -inputs[0].numel())
        pool = new_pool(ordered[0][0].device)
        self._step = step
        self._graphs: dict[tuple[object, ...], Callable[..., Tensor]] = {
            _shapes(inputs): Graphed(step, *inputs, pool=pool) for inputs in ordered
        }

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """What `step` gives."""
        return self._graphs.get(_shapes(inputs), self._step)(*inputs)


def _shapes(inputs: Sequence[Tensor | None]) -> tuple[object, ...]:
    # A mask that is left out is None, which no captured example has: such inputs run as they are.
    return tuple(None if tensor is None else tuple(tensor.shape) for tensor in inputs)
