"""VGGish (Hershey et al., 2017, arXiv 1609.09430): the embedding of FAD.

Tensor names are those of the published PyTorch checkpoint (`vggish-10086976.pth`). As in every
FAD tool: no PCA, no 8-bit quantisation, and no ReLU after the last layer.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from metrics.contract import Features
from metrics.embedders import weights as store
from metrics.embedders.batches import batches
from metrics.embedders.mel import htk_bank

LOG_OFFSET = 0.01
MINIMUM_SAMPLES = 32000
"""Shorter clips are zero-padded to this (the rule of audioldm_eval, and so of the papers)."""


class VggishConfig(BaseModel):
    """Size and front end; `frames` of one example, `channels` of the four pooled stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: int = 16000
    window: int = 400
    hop: int = 160
    mels: int = 64
    fmin: float = 125.0
    fmax: float = 7500.0
    frames: int = 96
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    hidden: int = 4096
    embedding: int = 128

    @property
    def example_samples(self) -> int:
        """The shortest waveform that fills one example."""
        return (self.frames - 1) * self.hop + self.window


class Vggish(nn.Module):
    """`forward(examples [E, 1, frames, mels]) -> [E, D]`."""

    def __init__(self, config: VggishConfig) -> None:
        super().__init__()
        self.config = config
        self.features = _stages(config.channels)
        cells = config.channels[-1] * (config.frames // 16) * (config.mels // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(cells, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.embedding),
        )
        self._fft = 2 ** int(np.ceil(np.log2(config.window)))
        bank = htk_bank(config.rate_hz, self._fft, config.mels, config.fmin, config.fmax)
        self.register_buffer("_bank", torch.from_numpy(bank), persistent=False)
        hann = torch.hann_window(config.window, periodic=True, dtype=torch.float64)
        self.register_buffer("_hann", hann, persistent=False)

    def forward(self, examples: Tensor) -> Tensor:
        maps = self.features(examples)
        # The checkpoint was converted from TensorFlow: flattened as time, mel, channel.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    def examples(self, waveform: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """Log-mel examples float32 [..., E, 1, frames, mels] of `waveform` [..., N].

        Frames are not centred, examples do not overlap, the incomplete tail is dropped. Computed
        in `dtype`; the published front end is float64, float32 is 9e-5 off and 5 times faster.
        Raises ValueError when the waveform does not fill one example.
        """
        if waveform.shape[-1] < self.config.example_samples:
            raise ValueError(
                f"waveform has {waveform.shape[-1]} samples, one example needs "
                f"{self.config.example_samples}; zero-pad it"
            )
        frames = waveform.to(dtype).unfold(-1, self.config.window, self.config.hop)
        magnitude = torch.fft.rfft(frames * self._hann.to(dtype), n=self._fft).abs()
        mel = torch.log(magnitude @ self._bank.to(dtype) + LOG_OFFSET).float()
        whole = mel.shape[-2] // self.config.frames * self.config.frames
        return mel[..., :whole, :].unflatten(-2, (-1, 1, self.config.frames))


def _stages(channels: tuple[int, int, int, int]) -> nn.Sequential:
    """Convolutions 0, 3, 6, 8, 11, 13 of the published numbering: stages of 1, 1, 2 and 2."""
    layers: list[nn.Module] = []
    inputs = 1
    for outputs, depth in zip(channels, (1, 1, 2, 2), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VggishEmbedder:
    """`metrics.contract.Embedder` over a weights folder; the config is read from it if not given.

    FAD takes every frame of every clip, so a longer clip weighs more.
    """

    batch_size = 8

    def __init__(self, weights: str | Path, config: VggishConfig | None = None) -> None:
        """Raises FileNotFoundError when the config is needed and missing."""
        self.folder = Path(weights)
        self.config = config or store.read_config(self.folder, VggishConfig)
        self.rate_hz = self.config.rate_hz

    @cached_property
    def sha256(self) -> str:
        return store.sha256(self.folder)

    def load(self, device: str) -> None:
        network = Vggish(self.config)
        store.load_into(network, self.folder)
        self._network = network.eval().to(device)
        self._device = device

    @torch.inference_mode()
    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Embeddings [E, D] of each clip, a row per 0.96 s; clips under 2 s are zero-padded."""
        features: dict[int, Features] = {}
        minimum = max(MINIMUM_SAMPLES, self.config.example_samples)
        for indices, samples in batches(waveforms, self.batch_size, minimum):
            examples = self._network.examples(torch.from_numpy(samples).to(self._device))
            rows = self._network(examples.flatten(0, 1)).unflatten(0, examples.shape[:2])
            for index, embeddings in zip(indices, rows.cpu().numpy(), strict=True):
                features[index] = Features(embeddings)
        return [features[index] for index in range(len(waveforms))]
