"""Where training takes place: the folder of its state, its device, and its scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pocket.training.device import send

FEWEST_CLIPS = 20
"""Under this a class may have no clip without it, and then no threshold."""


@dataclass(frozen=True)
class Workplace:
    """`scale` is the share of the full run's clips and steps that is made; 1 is what is shipped.

    A folder belongs to one scale: what is finished in it is taken as it is.
    """

    folder: Path
    device: torch.device
    scale: float = 1.0

    def send(self, batch: np.ndarray | Tensor) -> Tensor:
        """`batch` on the device."""
        return send(batch, self.device)

    def steps(self, full: int) -> int:
        return max(1, round(self.scale * full))

    def clips(self, full: int) -> int:
        return max(min(full, FEWEST_CLIPS), round(self.scale * full))
