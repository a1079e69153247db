"""VGGish (Hershey et al., 2017, arXiv 1609.09430): the embedding of FAD.

Tensor names are those of the published PyTorch checkpoint (`vggish-10086976.pth`). As in every
FAD tool: no PCA, no 8-bit quantisation, and no ReLU after the last layer.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from stabench.metrics.contract import Features, Precision
from stabench.metrics.embedders import prepacked, weight_sources
from stabench.metrics.embedders import weights as store
from stabench.metrics.embedders.mel import htk_bank
from stabench.metrics.embedders.network import NetworkEmbedder, check, exact, padded

# What AudioSet's front end adds before the logarithm.
LOG_OFFSET = 0.01
# Examples that go through the linear layers together: always as many, so that their bits do not
# depend on how many there are; 270 MB of weights are read once for all of them.
ROWS = 80
# AudioSet's post-processing: values are cut to +-2 and given 8 bits.
LIMIT, STEPS = 2.0, 255.0
# Shorter clips are zero-padded to this (the rule of audioldm_eval, and so of the papers).
MINIMUM_SAMPLES = 32000


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
        """Return the shortest waveform that fills one example."""
        return (self.frames - 1) * self.hop + self.window


class Vggish(nn.Module):
    """`forward(examples [E, 1, frames, mels]) -> [E, D]`."""

    _bank: Tensor
    _hann: Tensor

    def __init__(self, config: VggishConfig) -> None:
        super().__init__()
        self.config = config
        self.features = _build_stages(config.channels)
        cells = config.channels[-1] * (config.frames // 16) * (config.mels // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(cells, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.embedding),
        )
        # The next power of two, as in AudioSet's front end: 512 for a window of 400.
        self._fft = 2 ** int(np.ceil(np.log2(config.window)))
        bank = htk_bank(config.rate_hz, self._fft, config.mels, config.fmin, config.fmax)
        self.register_buffer("_bank", torch.from_numpy(bank), persistent=False)
        hann = torch.hann_window(config.window, periodic=True, dtype=torch.float64)
        self.register_buffer("_hann", hann, persistent=False)

    def forward(self, examples: Tensor) -> Tensor:
        maps = self.features(examples)
        # The checkpoint was converted from TensorFlow: flattened as time, mel, channel.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    def examples(
        self, waveform: Tensor, dtype: torch.dtype = torch.float64, *, spread: bool = False
    ) -> Tensor:
        """Return log-mel examples float32 [..., E, 1, frames, mels] of `waveform` [..., N].

        Frames are not centred. As published, examples do not overlap and the incomplete tail is
        dropped; with `spread` they are as few as hold every frame, evenly spaced, and so overlap.
        Computed in `dtype`; the published front end is float64, float32 is 9e-5 off and 5 times
        faster. Raises ValueError when the waveform does not fill one example.
        """
        if waveform.shape[-1] < self.config.example_samples:
            raise ValueError(
                f"waveform has {waveform.shape[-1]} samples, one example needs "
                f"{self.config.example_samples}; zero-pad it"
            )
        frames = waveform.to(dtype).unfold(-1, self.config.window, self.config.hop)
        magnitude = torch.fft.rfft(frames * self._hann.to(dtype), n=self._fft).abs()
        mel = torch.log(magnitude @ self._bank.to(dtype) + LOG_OFFSET).float()
        total, length = mel.shape[-2], self.config.frames
        if not spread:
            return mel[..., : total // length * length, :].unflatten(-2, (-1, 1, length))
        starts = np.linspace(0, total - length, -(-total // length)).round().astype(int)
        return mel[..., starts[:, None] + np.arange(length), :].unsqueeze(-3)


def _build_stages(channels: tuple[int, int, int, int]) -> nn.Sequential:
    """Build convolutions 0, 3, 6, 8, 11, 13 of the published numbering: stages of 1, 1, 2 and 2."""
    layers: list[nn.Module] = []
    inputs = 1
    for outputs, depth in zip(channels, (1, 1, 2, 2), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Inference:
    """The network at its quickest: one clip's convolutions, then linear layers by `ROWS` rows."""

    def __init__(self, network: Vggish, precision: Precision) -> None:
        self._stages: list[prepacked.Layer] = []
        for layer in network.features:
            # A ReLU is part of the convolution before it.
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None, "a convolution of VGGish without bias"
                weight, bias = layer.weight.detach(), layer.bias.detach()
                self._stages.append(prepacked.convolution(weight, bias, precision))
            elif isinstance(layer, nn.MaxPool2d):
                self._stages.append(layer)
        linears = [layer for layer in network.embeddings if isinstance(layer, nn.Linear)]
        last = len(linears) - 1
        self._linears = [
            prepacked.pack_linear(layer, "none" if index == last else "relu", precision)
            for index, layer in enumerate(linears)
        ]

    def cells(self, examples: Tensor) -> Tensor:
        """Return what the linear layers hear of examples [E, 1, frames, mels]: [E, cells]."""
        for stage in self._stages:
            examples = stage(examples)
        return examples.permute(0, 2, 3, 1).flatten(1)

    def rows(self, clips: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield embeddings [up to ROWS, D] of the cells of all clips, in order."""
        waiting: Tensor | None = None
        for cells in clips:
            waiting = cells if waiting is None else torch.cat([waiting, cells])
            while len(waiting) >= ROWS:
                yield self._apply_linears(waiting[:ROWS])
                waiting = waiting[ROWS:]
        if waiting is not None and len(waiting):
            yield self._apply_linears(waiting)[: len(waiting)]

    def _apply_linears(self, rows: Tensor) -> Tensor:
        rows = F.pad(rows, (0, 0, 0, ROWS - len(rows)))
        for layer in self._linears:
            rows = layer(rows)
        return rows


class Pca(NamedTuple):
    """AudioSet's post-processing: `components` [D, D] (whitening within) and `means` [D]."""

    components: Tensor
    means: Tensor
    sha256: str

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Apply ReLU and PCA, clip to +-2, round to steps of 0 to 255, as float32."""
        centred = F.relu(torch.from_numpy(rows)) - self.means
        clipped = (self.components @ centred.T).T.clamp(-LIMIT, LIMIT)
        return torch.round((clipped + LIMIT) * (STEPS / (2 * LIMIT))).numpy()


class VggishEmbedder(NetworkEmbedder):
    """`metrics.contract.Embedder` over weights; the config is read from their folder if not given.

    FAD takes every frame of every clip, so a longer clip weighs more. As published, what is left at
    a clip's end, less than one example, is not heard; set `spread` and it is.
    """

    spread = False

    def __init__(
        self,
        weights: str | Path | weight_sources.Source,
        config: VggishConfig | None = None,
        pca: Pca | None = None,
    ) -> None:
        """Read the config if need be.

        Raises FileNotFoundError when the config is needed and missing.
        """
        super().__init__(weight_sources.as_source(weights))
        self.config = config or store.read_config(weight_sources.folder(weights), VggishConfig)
        self.rate_hz = self.config.rate_hz
        self._pca = pca

    def settings(self) -> dict[str, Any]:
        pca = self._pca.sha256 if self._pca else None
        # Left out where it changes nothing: identities of before stay what they are.
        spread = {"spread": True} if self.spread else {}
        return {"network": self.config.model_dump(mode="json"), "pca": pca, **spread}

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return embeddings [E, D] of each clip, a row for each example of 0.96 s.

        Clips under 2 s are zero-padded.
        """
        check(waveforms)
        counts: list[int] = []
        with torch.inference_mode(), exact(), self._mixed():
            clips = (self._compute_cells(waveform, counts) for waveform in waveforms)
            rows = [rows.float().cpu().numpy() for rows in self._inference.rows(clips)]
        split = np.split(np.concatenate(rows), np.cumsum(counts)[:-1]) if rows else []
        return [Features(self._pca(rows) if self._pca else rows) for rows in split]

    def _build(self) -> None:
        network = Vggish(self.config).eval()
        self.source.fill(network)
        self._network = network.to(self._device)
        self._inference = Inference(self._network, self.precision)
        del network.features, network.embeddings  # `Inference` holds them, laid out anew

    def _compute_cells(self, waveform: np.ndarray, counts: list[int]) -> Tensor:
        """Return what the linear layers hear of one clip.

        Its number of examples goes into `counts`.
        """
        minimum = max(MINIMUM_SAMPLES, self.config.example_samples)
        samples = torch.tensor(padded(waveform, minimum), device=self._device)
        examples = self._network.examples(samples, spread=self.spread)
        counts.append(len(examples))
        return self._inference.cells(examples)
