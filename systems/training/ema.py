"""Averaged weights: what a training ends with is less noisy than its last step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Ema:
    """Exponential moving average of a module's parameters.

    The decay grows as (1 + n) / (10 + n) up to `decay`, so early steps do not linger.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.average = [entry.detach().clone() for entry in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's parameters after an optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = [parameter.detach() for parameter in module.parameters()]
        # One call for all tensors, instead of a launch for each at every step.
        torch._foreach_lerp_(self.average, parameters, 1 - decay)
        self.updates += 1

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the module's parameters with the averages."""
        for parameter, average in zip(module.parameters(), self.average, strict=True):
            parameter.copy_(average)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Inside, the module has the averages; then its own parameters again."""
        kept = [parameter.detach().clone() for parameter in module.parameters()]
        self.copy_to(module)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(module.parameters(), kept, strict=True):
                    parameter.copy_(value)

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to resume."""
        return {"updates": self.updates, "average": list(self.average)}

    def load_state_dict(self, state: dict) -> None:
        """Resume from a `state_dict`."""
        self.updates = state["updates"]
        for average, saved in zip(self.average, state["average"], strict=True):
            # The file holds CPU tensors: copy_ takes them to where the average is.
            average.copy_(saved)
