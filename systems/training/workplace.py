"""Where training takes place: the folder of its state, its device, and its scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stabench.systems.training.device import send

# With fewer clips a class may have no clip that lacks it, and then no threshold can be chosen.
FEWEST_CLIPS = 20


@dataclass(frozen=True)
class Workplace:
    """Where one training run lies: its folder, device, share of the full run, and seed.

    `scale` is the share of the full run's clips and steps that is made; 1 is what is shipped.
    `seed` 0 is what is shipped; another draws other first weights, batches and noise from the same
    clips. A folder belongs to one scale: what is finished in it is taken as it is.
    """

    root: Path
    device: torch.device
    scale: float = 1.0
    seed: int = 0

    @property
    def folder(self) -> Path:
        """State and results of this seed."""
        return self.root / f"seed{self.seed}"

    @property
    def corpus(self) -> Path:
        """Clips and speech, the same for every seed."""
        return self.root / "corpus"

    def seeded(self, number: int) -> int:
        """Return the stage's own `number`, moved to where no other seed's stage is."""
        # No stage's number reaches 1000, so that no two seeds share one.
        return number + 1000 * self.seed

    def send(self, batch: np.ndarray | Tensor) -> Tensor:
        """`batch` on the device."""
        return send(batch, self.device)

    def steps(self, full: int) -> int:
        return max(1, round(self.scale * full))

    def clips(self, full: int) -> int:
        return max(min(full, FEWEST_CLIPS), round(self.scale * full))
