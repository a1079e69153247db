"""One optimisation loop for every stage: seeded by step, saved as it goes, resumed where it was."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from systems.star.training import Ema

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


@dataclass(frozen=True)
class Stage:
    """What is trained: `network` (its trainable parameters), and where its state is kept."""

    name: str
    network: nn.Module
    recipe: Recipe
    work: Path

    @property
    def state(self) -> Path:
        return self.work / f"{self.name}.state.pt"

    @property
    def result(self) -> Path:
        return self.work / f"{self.name}.pt"


Loss = Callable[[np.random.Generator], Tensor]
"""One batch's loss; everything random in it comes from the step's own generator."""


def fit(stage: Stage, loss: Loss, seed: int = 0) -> nn.Module:
    """Train `stage.network` in place (to its averaged weights with `ema`) and return it.

    A finished stage is loaded, an interrupted one goes on at its last saved step. The batch of a
    step depends on the seed and the step alone.
    """
    network, recipe = stage.network, stage.recipe
    if stage.result.exists():
        network.load_state_dict(torch.load(stage.result, weights_only=True))
        return network.eval()
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trainable, lr=recipe.rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.99)
    )
    average = Ema(network, recipe.ema) if recipe.ema else None
    first = _resume(stage, optimiser, average)
    watch = _Watch(stage, first)
    for step in range(first, recipe.steps):
        optimiser.param_groups[0]["lr"] = recipe.rate_at(step)
        torch.manual_seed(seed * 1_000_003 + step)
        network.train()
        value = loss(np.random.default_rng([seed, step]))
        value.backward()
        nn.utils.clip_grad_norm_(trainable, recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if average:
            average.update(network)
        if watch.tick(step, float(value.detach())):
            _save(stage, optimiser, average, step + 1)
    if average:
        average.copy_to(network)
    write(network.state_dict(), stage.result)
    stage.state.unlink(missing_ok=True)
    return network.eval()


class _Watch:
    """Prints the mean loss about every fifteen seconds and says when it is time to save."""

    def __init__(self, stage: Stage, first: int) -> None:
        self.stage, self.first = stage, first
        self.started = self.printed = self.saved = time.monotonic()
        self.losses: list[float] = []

    def tick(self, step: int, loss: float) -> bool:
        self.losses.append(loss)
        now = time.monotonic()
        if now - self.printed > 15 or step + 1 == self.stage.recipe.steps:
            each = (now - self.started) / (step + 1 - self.first)
            mean = sum(self.losses) / len(self.losses)
            done = f"{step + 1}/{self.stage.recipe.steps}"
            print(f"{self.stage.name} {done} loss {mean:.4f} {each:.3f} s/step", flush=True)
            self.printed, self.losses = now, []
        if now - self.saved > SAVE_EVERY_S:
            self.saved = now
            return True
        return False


def _resume(stage: Stage, optimiser: torch.optim.Optimizer, average: Ema | None) -> int:
    if not stage.state.exists():
        return 0
    saved = torch.load(stage.state, weights_only=True)
    stage.network.load_state_dict(saved["network"])
    optimiser.load_state_dict(saved["optimiser"])
    if average:
        average.load_state_dict(saved["average"])
    print(f"{stage.name}: resumed at step {saved['step']}", flush=True)
    return saved["step"]


def _save(stage: Stage, optimiser: torch.optim.Optimizer, average: Ema | None, step: int) -> None:
    state = {"network": stage.network.state_dict(), "optimiser": optimiser.state_dict()}
    state |= {"step": step, "average": average.state_dict() if average else None}
    write(state, stage.state)


def write(state: dict, path: Path) -> None:
    """Save tensors atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)
