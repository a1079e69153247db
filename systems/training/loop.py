"""One optimisation loop for every stage: seeded by step, saved as it goes, resumed where it was."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stabench.checkpoints.tensors import fill_network
from stabench.systems.training.compute import Compute
from stabench.systems.training.device import tf32
from stabench.systems.training.ema import Ema
from stabench.systems.training.log import TrainingLog
from stabench.systems.training.schedules import Schedule, Trapezoid
from stabench.systems.training.states import States, read, write
from stabench.systems.training.workplace import Workplace

SAVE_EVERY_S = 60
PRINT_EVERY_S = 15


@dataclass(frozen=True)
class Recipe:
    """AdamW in `steps` steps; `rate` is the highest that `schedule` gives.

    `clip` bounds the norm of all gradients together. `ema` is the decay of averaged weights.
    """

    steps: int
    rate: float
    schedule: Schedule = field(default_factory=Trapezoid)
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float | None = 1.0
    ema: float | None = None

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        return self.rate * self.schedule.share_at(step, self.steps)

    def at(self, work: Workplace) -> "Recipe":
        """In as many steps as `work` makes of them; the rate rises no faster than in the full run
        (networks diverge if it does)."""
        return replace(self, steps=work.steps(self.steps))


@dataclass(frozen=True)
class Validation:
    """When a network is scored, and what a better score decides.

    `score` gets the network in eval mode (its averaged weights with `ema`) and the steps done;
    gradients and TF32 are off. Of several processes the first alone calls it.
    """

    every: int  # Steps between two validations; the last step has one, too.
    score: Callable[[nn.Module, int], float]
    better: Literal["higher", "lower"]
    patience: int | None = None  # Stop after so many validations without a better score.


class StepGenerator(np.random.Generator):
    """The random generator of one step, which knows the step: `step` counts from 0."""

    def __init__(self, seed: int, step: int) -> None:
        super().__init__(np.random.PCG64([seed, step]))
        self.step = step


# One batch's loss; everything random in it comes from the step's own generator.
Loss = Callable[[StepGenerator], Tensor]


@dataclass(frozen=True)
class Stage:
    """What is trained: `network` (its trainable parameters), and where (on which device, too).

    `recipe` is that of the full run, `about` what else a saved state must have been trained with.
    States are saved every `save_every` steps (None: about once a minute), the last `keep` are kept.
    `batch`, clips of a step, is for the log, which has a line for every `log_every` steps.
    """

    name: str
    network: nn.Module
    recipe: Recipe
    work: Workplace
    compute: Compute = field(default_factory=Compute)
    about: Mapping[str, object] = field(default_factory=dict)
    save_every: int | None = None
    keep: int = 1
    batch: int | None = None
    log_every: int = 50
    tensorboard: bool = False

    @property
    def result(self) -> Path:
        """The file of the trained weights."""
        return self.work.folder / f"{self.name}.pt"

    @property
    def states(self) -> Path:
        """The folder of what an interrupted training goes on from."""
        return self.work.folder / f"{self.name}.states"

    @cached_property
    def log(self) -> TrainingLog:
        """The curves, in `<name>.log.jsonl`; TensorBoard's in the folder `tensorboard`."""
        scalars = self.work.folder / "tensorboard" / self.name if self.tensorboard else None
        path = self.work.folder / f"{self.name}.log.jsonl"
        return TrainingLog(path, scalars, writes=self.compute.first)


def fit(stage: Stage, loss: Loss, seed: int = 0, validation: Validation | None = None) -> nn.Module:
    """Train `stage.network` in place (to its averaged weights with `ema`) and return it.

    With a validation it ends with the weights of the best one. It is moved to the stage's device
    and stays there; files hold CPU tensors, so another device can go on with them. A finished stage
    is loaded, an interrupted one goes on at its last saved step. The batch of a step depends on the
    seed and the step alone.
    """
    network = stage.network.to(stage.work.device)
    if stage.result.exists():
        network.load_state_dict(read(stage.result))
        return network.eval()
    training = _Training(stage, stage.work.seeded(seed), validation)
    with tf32(allowed=True):
        training.run(loss)
    if stage.compute.first:
        write(network.state_dict(), stage.result)
        # States go last: a crash between the two lines must not lose both.
        training.states.clear()
    stage.compute.wait()
    return network.eval()


@dataclass
class _Best:
    """The best validation so far, and how many have come since."""

    score: float | None = None
    step: int = 0
    stale: int = 0
    weights: dict[str, Tensor] | None = None


class _Training:
    """A stage under way: everything that a saved state holds."""

    def __init__(self, stage: Stage, seed: int, validation: Validation | None) -> None:
        self.stage, self.seed, self.validation = stage, seed, validation
        self.network, self.compute = stage.network, stage.compute
        self.recipe = stage.recipe.at(stage.work)
        self.trainable = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = self.compute.prepare(
            torch.optim.AdamW(
                self.trainable,
                lr=self.recipe.rate,
                weight_decay=self.recipe.weight_decay,
                betas=self.recipe.betas,
            )
        )
        self.average = Ema(self.network, self.recipe.ema) if self.recipe.ema else None
        self.best = _Best()
        self.states = States(stage.states, self._describe(), stage.keep)

    def run(self, loss: Loss) -> None:
        first = self._resume()
        watch = _Watch(self.stage, first, self.recipe.steps)
        for step in range(first, self.recipe.steps):
            if self._is_stale():
                break
            value, norm = self._step(loss, step)
            watch.tick(step, value, norm, self.recipe.rate_at(step))
            with watch.paused():
                self._validate(step + 1)
                if watch.is_time_to_save(step + 1):
                    self._save(step + 1)
        if self.best.weights:
            self.network.load_state_dict(self.best.weights)
        elif self.average:
            self.average.copy_to(self.network)

    def _step(self, loss: Loss, step: int) -> tuple[Tensor, Tensor | None]:
        self.optimiser.param_groups[0]["lr"] = self.recipe.rate_at(step)
        # Dropout draws from the global generator, of which each process has its own. Large primes
        # keep the steps of two seeds and of two processes apart.
        torch.manual_seed(self.seed * 1_000_003 + step + self.compute.rank * 1_000_000_007)
        self.network.train()
        value = loss(StepGenerator(self.seed, step))
        self.compute.backward(value)
        clip, norm = self.recipe.clip, None
        if clip is not None:
            norm = self.compute.clip(self.trainable, clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network)
        return value.detach(), norm

    def _is_stale(self) -> bool:
        patience = self.validation.patience if self.validation else None
        return patience is not None and self.best.stale >= patience

    def _validate(self, done: int) -> None:
        validation = self.validation
        if not validation or (done % validation.every and done != self.recipe.steps):
            return
        with self.average.applied(self.network) if self.average else nullcontext():
            score = 0.0
            if self.compute.first:
                self.network.eval()
                with torch.no_grad(), tf32(allowed=False):
                    score = validation.score(self.network, done)
            score = self.compute.agree(score)
            if not math.isfinite(score):
                raise FloatingPointError(
                    f"{self.stage.name}: the validation score is {score} after step {done}, "
                    f"expected a finite number; {_advise(self.stage)}"
                )
            best = self.best.score
            sign = 1 if validation.better == "higher" else -1
            if best is None or sign * score > sign * best:
                state = self.network.state_dict()
                weights = {key: value.detach().to("cpu", copy=True) for key, value in state.items()}
                self.best = _Best(score, done, 0, weights)
            else:
                self.best.stale += 1
        self.stage.log.append(done, {"validation": score})

    def _resume(self) -> int:
        saved = self.states.load()
        step = saved["step"] if saved else 0
        if self.compute.agree(step) != step:
            raise ValueError(
                f"{self.states.folder}: process {self.compute.rank} finds step {step} there, the "
                "first another; let all processes share the folder"
            )
        self.stage.log.cut(step)
        if saved:
            # A load moves everything to the device.
            fill_network(self.network, saved["network"], self.states.folder)
            self.optimiser.load_state_dict(saved["optimiser"])
            self.compute.load_state(saved["compute"])
            if self.average:
                self.average.load_state_dict(saved["average"])
            self.best = _Best(**saved["best"])
            if self.compute.first:
                print(f"{self.stage.name}: resumed at step {step}", flush=True)
        return step

    def _save(self, done: int) -> None:
        content = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "compute": self.compute.state(),
            "average": self.average.state_dict() if self.average else None,
            "best": vars(self.best),
        }
        self.states.save(done, content)

    def _describe(self) -> dict[str, str]:
        """Return all that decides the weights, as text."""
        recipe = {name.name: getattr(self.recipe, name.name) for name in dataclasses.fields(Recipe)}
        described: dict[str, object] = {
            **recipe,
            "seed": self.seed,
            "precision": self.compute.precision,
            "trained tensors": len(self.trainable),
            **self.stage.about,
        }
        if self.validation:
            described["validation"] = (self.validation.every, self.validation.better)
            described["patience"] = self.validation.patience
        return {name: repr(value) for name, value in described.items()}


class _Watch:
    """Logs and prints the mean loss, sees that it is a number, and says when to save."""

    def __init__(self, stage: Stage, first: int, steps: int) -> None:
        self.stage, self.first, self.steps = stage, first, steps
        self.started = self.printed = self.saved = self.logged = time.monotonic()
        # Not read until they are logged or printed: reading makes the CPU wait for the GPU.
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.unprinted: list[Tensor] = []

    def tick(self, step: int, loss: Tensor, norm: Tensor | None, rate: float) -> None:
        """Take in a step; raise FloatingPointError for a loss that is no finite number."""
        self.losses.append(loss)
        self.unprinted.append(loss)
        if norm is not None:
            self.norms.append(norm.detach())
        done = step + 1
        if done % self.stage.log_every == 0 or done == self.steps:
            self._log(done, rate)
        if time.monotonic() - self.printed > PRINT_EVERY_S or done == self.steps:
            self._print(done)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside is what does not count as the time of steps."""
        began = time.monotonic()
        yield
        self.logged += time.monotonic() - began
        self.started += time.monotonic() - began

    def is_time_to_save(self, done: int) -> bool:
        if not self.stage.compute.first:
            return False
        now, every = time.monotonic(), self.stage.save_every
        if done % every if every else now - self.saved <= SAVE_EVERY_S:
            return False
        # What has diverged is not saved over what has not.
        self._mean(self.unprinted or self.losses, done)
        self.saved = now
        return True

    def _mean(self, losses: list[Tensor], done: int) -> float:
        mean = float(torch.stack(losses).mean()) if losses else 0.0
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"{self.stage.name}: the loss is {mean} by step {done}, expected a finite number; "
                f"{_advise(self.stage)}"
            )
        return mean

    def _log(self, done: int, rate: float) -> None:
        now, count = time.monotonic(), len(self.losses)
        each = (now - self.logged) / count
        mean = self.stage.compute.mean(torch.stack(self.losses).mean())
        values = {
            "loss": self._mean([mean], done),
            "rate": rate,
            "gradient_norm": float(torch.stack(self.norms).mean()) if self.norms else None,
            "seconds_per_step": each,
            "samples_per_s": self.stage.batch / each if self.stage.batch else None,
        }
        self.stage.log.append(done, values)
        self.logged, self.losses, self.norms = now, [], []

    def _print(self, done: int) -> None:
        mean = self._mean(self.unprinted, done)
        self.printed, self.unprinted = time.monotonic(), []
        each = (self.printed - self.started) / (done - self.first)
        if self.stage.compute.first:
            print(
                f"{self.stage.name} {done}/{self.steps} loss {mean:.4f} {each:.3f} s/step",
                flush=True,
            )


def _advise(stage: Stage) -> str:
    return f"delete {stage.states} and lower its rate"
