"""One optimisation loop for every stage: seeded by step, saved as it goes, resumed where it was."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stabench.systems.training.device import tf32, to_cpu
from stabench.systems.training.workplace import Workplace


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

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to resume."""
        return {"updates": self.updates, "average": list(self.average)}

    def load_state_dict(self, state: dict) -> None:
        """Resume from a `state_dict`."""
        self.updates = state["updates"]
        for average, saved in zip(self.average, state["average"], strict=True):
            # The file holds CPU tensors: copy_ takes them to where the average is.
            average.copy_(saved)


SAVE_EVERY_S = 60


@dataclass(frozen=True)
class Recipe:
    """`rate` rises over `warmup` steps, stays, and falls linearly over the last `decay` share."""

    steps: int
    rate: float
    warmup: int = 100
    decay: float = 0.4
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float | None = None

    def rate_at(self, step: int) -> float:
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.rate * min(1.0, (step + 1) / self.warmup, falling)

    def at(self, work: Workplace) -> "Recipe":
        """In as many steps as `work` makes of them; the rate rises no faster than in the full run
        (networks diverge if it does)."""
        return replace(self, steps=work.steps(self.steps))


@dataclass(frozen=True)
class Stage:
    """What is trained: `network` (its trainable parameters), and where (on which device, too).

    `recipe` is that of the full run.
    """

    name: str
    network: nn.Module
    recipe: Recipe
    work: Workplace

    @property
    def state(self) -> Path:
        return self.work.folder / f"{self.name}.state.pt"

    @property
    def result(self) -> Path:
        return self.work.folder / f"{self.name}.pt"


# One batch's loss; everything random in it comes from the step's own generator.
Loss = Callable[[np.random.Generator], Tensor]


def fit(stage: Stage, loss: Loss, seed: int = 0) -> nn.Module:
    """Train `stage.network` in place (to its averaged weights with `ema`) and return it.

    It is moved to the stage's device and stays there; files hold CPU tensors, so another device
    can go on with them. A finished stage is loaded, an interrupted one goes on at its last saved
    step. The batch of a step depends on the seed and the step alone.
    """
    network = stage.network.to(stage.work.device)
    if stage.result.exists():
        network.load_state_dict(torch.load(stage.result, weights_only=True))
        return network.eval()
    with tf32(allowed=True):
        _train(stage, loss, stage.work.seeded(seed))
    write(network.state_dict(), stage.result)
    # The state goes last: a crash between the two lines must not lose both.
    stage.state.unlink(missing_ok=True)
    return network.eval()


def _train(stage: Stage, loss: Loss, seed: int) -> None:
    network, recipe = stage.network, stage.recipe.at(stage.work)
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trainable, lr=recipe.rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
    )
    average = Ema(network, recipe.ema) if recipe.ema else None
    first = _resume(stage, optimiser, average)
    watch = _Watch(stage.name, first, recipe.steps)
    for step in range(first, recipe.steps):
        optimiser.param_groups[0]["lr"] = recipe.rate_at(step)
        # Dropout draws from the global generator. A large prime keeps the steps of two seeds apart.
        torch.manual_seed(seed * 1_000_003 + step)
        network.train()
        value = loss(np.random.default_rng([seed, step]))
        value.backward()
        nn.utils.clip_grad_norm_(trainable, recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if average:
            average.update(network)
        if watch.tick(step, value.detach()):
            _save(stage, optimiser, average, step + 1)
    if average:
        average.copy_to(network)


class _Watch:
    """Prints the mean loss about every fifteen seconds and says when it is time to save."""

    def __init__(self, name: str, first: int, steps: int) -> None:
        self.name, self.first, self.steps = name, first, steps
        self.started = self.printed = self.saved = time.monotonic()
        self.losses: list[Tensor] = []

    def tick(self, step: int, loss: Tensor) -> bool:
        # Not read until it is printed: reading makes the CPU wait for the GPU.
        self.losses.append(loss)
        now = time.monotonic()
        if now - self.printed > 15 or step + 1 == self.steps:
            each = (now - self.started) / (step + 1 - self.first)
            mean = float(torch.stack(self.losses).mean())
            if not math.isfinite(mean):
                raise FloatingPointError(
                    f"{self.name}: the loss is {mean} by step {step + 1}, expected a finite "
                    "number; delete the stage's .state.pt and lower its rate"
                )
            done = f"{step + 1}/{self.steps}"
            print(f"{self.name} {done} loss {mean:.4f} {each:.3f} s/step", flush=True)
            self.printed, self.losses = now, []
        if now - self.saved > SAVE_EVERY_S:
            self.saved = now
            return True
        return False


def _resume(stage: Stage, optimiser: torch.optim.Optimizer, average: Ema | None) -> int:
    if not stage.state.exists():
        return 0
    saved = torch.load(stage.state, weights_only=True)  # load_state_dict moves it to the device
    stage.network.load_state_dict(saved["network"])
    optimiser.load_state_dict(saved["optimiser"])
    if average:
        average.load_state_dict(saved["average"])
    print(f"{stage.name}: resumed at step {saved['step']}", flush=True)
    return saved["step"]


def _save(stage: Stage, optimiser: torch.optim.Optimizer, average: Ema | None, step: int) -> None:
    state: dict[str, object] = {
        "network": stage.network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "average": average.state_dict() if average else None,
    }
    write(state, stage.state)


def write(state: dict, path: Path) -> None:
    """Save tensors atomically, as CPU tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(to_cpu(state), part)
    part.replace(path)
