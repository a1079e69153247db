"""How a step is computed: in this process in float32, or by accelerate on several and in half.

Whatever the number of processes, a step's batch and all that is random about it are drawn from
seed and step by each of them alike, and each takes its own rows (`share`): the mean of their
losses is that of the whole batch, and their gradients are averaged while they are computed.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
# How long other processes wait while the first renders and scores samples.
PATIENCE = timedelta(hours=4)
Rows = TypeVar("Rows", Tensor, Sequence)


class Compute:
    """One process in float32: the operations of the stage, in their order, and no others."""

    rank, count, precision = 0, 1, "float32"

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def wrap(self, objective: nn.Module) -> nn.Module:
        """Return what is called instead of `objective`, a batch's loss, while training."""
        return objective

    def prepare(self, optimiser: torch.optim.Optimizer) -> Any:
        """Return the optimiser that knows of loss scaling."""
        return optimiser

    def share(self, rows: Rows) -> Rows:
        """Return the rows of a whole batch that this process computes.

        Raises ValueError for a batch that the processes cannot share evenly.
        """
        if len(rows) % self.count:
            raise ValueError(
                f"a batch of {len(rows)} cannot be shared by {self.count} processes; use a "
                "multiple of them"
            )
        size = len(rows) // self.count
        return rows[self.rank * size : (self.rank + 1) * size]

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        """Scale the gradients down to a total norm of `limit`; return the norm before."""
        return nn.utils.clip_grad_norm_(parameters, limit)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a number over the processes."""
        return value

    def agree(self, value: float) -> float:
        """Return the first process's value to all of them."""
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs to resume: the scale of float16's loss."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        pass


class Accelerated(Compute):
    """What accelerate makes of this process's environment (`accelerate launch`), in `precision`.

    Weights and sums of the optimiser stay float32; float16 scales the loss. Imports accelerate.
    Raises ValueError for a precision that the device does not compute, or without accelerate.
    """

    def __init__(self, precision: str = "float32", device: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, allowed are {', '.join(PRECISIONS)}")
        on_cpu = device == "cpu" or not torch.cuda.is_available()
        if precision == "float16" and on_cpu:
            raise ValueError("precision is 'float16', which needs a GPU; use bfloat16 or float32")
        try:
            from accelerate import Accelerator, InitProcessGroupKwargs
        except ImportError as error:
            raise ValueError(
                f"precision {precision!r} and several processes need accelerate, which is not "
                "installed; pip install 'stabench[train]'"
            ) from error
        self.accelerator = Accelerator(
            mixed_precision=PRECISIONS[precision],
            cpu=on_cpu,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        self.precision = precision
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device

    def wrap(self, objective: nn.Module) -> nn.Module:
        return self.accelerator.prepare_model(objective)

    def prepare(self, optimiser: torch.optim.Optimizer) -> Any:
        return self.accelerator.prepare_optimizer(optimiser)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        norm = self.accelerator.clip_grad_norm_(parameters, limit)
        assert norm is not None, "only DeepSpeed clips without telling"
        return norm

    def mean(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value, reduction="mean")

    def agree(self, value: float) -> float:
        from accelerate.utils import broadcast

        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        return float(broadcast(told))

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return scaler.state_dict() if scaler else {}

    def load_state(self, state: dict[str, Any]) -> None:
        if self.accelerator.scaler and state:
            self.accelerator.scaler.load_state_dict(state)
