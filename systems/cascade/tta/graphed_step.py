"""One step of a denoising loop as a CUDA graph: the network's hundreds of launches become one."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from systems.graphed import Graphed, new_pool


class GraphedStep:
    """`step` of tensors as one graph for each of `examples`, tuples of inputs.

    Everything is captured when this is made. Inputs of other shapes run without a graph.
    """

    def __init__(self, step: Callable[..., Tensor], examples: Iterable[tuple[Tensor, ...]]) -> None:
        # The largest first: the others fit into its memory.
        ordered = sorted(examples, key=lambda given: -given[0].numel())
        pool = new_pool(ordered[0][0].device)
        self._step = step
        self._graphs = {_shapes(given): Graphed(step, *given, pool=pool) for given in ordered}

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """What `step` gives."""
        return self._graphs.get(_shapes(inputs), self._step)(*inputs)


def _shapes(inputs: Sequence[Tensor | None]) -> tuple[object, ...]:
    return tuple(None if one is None else tuple(one.shape) for one in inputs)
