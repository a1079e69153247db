"""VGGish by the package frechet-audio-distance (torchvggish's front end), as an embedder.

A second opinion on `metrics.embedders.vggish`: no PCA, no last ReLU, each clip alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabench.metrics.backends.backend import PUBLISHED, Backend, vggish_distance
from stabench.metrics.contract import Features
from stabench.metrics.embedders.network import check, exact, padded

# One example. Of a shorter clip the package makes none, and fails; it is zero-padded to this.
MINIMUM_SAMPLES = 15600


class FrechetAudioDistanceEmbedder(Backend):
    """`metrics.contract.Embedder` over `FrechetAudioDistance(model_name="vggish")`."""

    distribution = "frechet-audio-distance"
    checkpoint = "vggish"
    rate_hz = 16000

    def parts(self) -> dict[str, Any]:
        return {"minimum_samples": MINIMUM_SAMPLES, "use_pca": False, "use_activation": False}

    def peer(self) -> Any:
        distance = vggish_distance()
        # Left to itself the package moves every clip to the first GPU that it sees.
        distance.device = distance.model.device = torch.device(self._device)
        return distance

    def named(self, content: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return content

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return embeddings [E, 128] of each clip, a row per 0.96 s."""
        check(waveforms)
        with torch.no_grad(), exact():
            # Alone in its list: of several clips the package joins the rows.
            lists = [[padded(waveform, MINIMUM_SAMPLES)] for waveform in waveforms]
            return [Features(self._peer.get_embeddings(clip, self.rate_hz)) for clip in lists]


def embedder(weights: str = PUBLISHED) -> FrechetAudioDistanceEmbedder:
    """Return what is registered as "frechet-audio-distance". Raises FileNotFoundError."""
    return FrechetAudioDistanceEmbedder(weights)
