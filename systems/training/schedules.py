"""Learning rates over the steps of a training: each schedule gives a step's share of the full rate.

Steps count from 0. Every schedule rises over its first `warmup` steps, and no step has no rate.
"""

from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """A frozen value, so that two recipes can be compared."""

    def share_at(self, step: int, steps: int) -> float:
        """Return the share, 0 to 1, of the full rate at `step` of `steps`."""
        ...


@dataclass(frozen=True)
class Trapezoid:
    """Stay at the full rate, then fall linearly to 0 over the last share `decay` of the steps."""

    warmup: int = 100
    decay: float = 0.4

    def share_at(self, step: int, steps: int) -> float:
        falling = (steps - step) / max(1.0, self.decay * steps)
        return min(1.0, (step + 1) / self.warmup, falling)


@dataclass(frozen=True)
class Linear:
    """Fall linearly to 0 at step `horizon`, however many steps are made (STAR's stage 1)."""

    warmup: int
    horizon: int

    def share_at(self, step: int, steps: int) -> float:
        rising = (step + 1) / max(1, self.warmup)
        falling = (self.horizon - step) / max(1, self.horizon - self.warmup)
        return max(0.0, min(1.0, rising, falling))


@dataclass(frozen=True)
class Constant:
    """Stay at the full rate (STAR's stage 2)."""

    warmup: int

    def share_at(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / max(1, self.warmup))
