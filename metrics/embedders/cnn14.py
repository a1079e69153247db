"""PANNs CNN14 (Kong et al., 2020, arXiv 1912.10211): event logits, and the embedding of FD.

Tensor names are those of the published checkpoints, whose DFT kernels and mel matrix are part of
the weights and decide the front end once loaded. The defaults are the 16 kHz variant.
"""

from collections.abc import Sequence
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
from stabench.metrics.embedders.mel import slaney_bank
from stabench.metrics.embedders.network import NetworkEmbedder, check, exact, padded

# `amin` of torchlibrosa's log-mel layer, with which the published networks were trained.
POWER_FLOOR = 1e-10
# Shorter clips are zero-padded to this (the rule of audioldm_eval, and so of the papers).
MINIMUM_SAMPLES = 32000
# Kernels as close to the DFT's are the DFT's, rounded to float32.
SAME_KERNEL = 1e-6


class Cnn14Config(BaseModel):
    """Size and front end. `channels` are of the blocks, each but the last halving time and mel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: int = 16000
    window: int = 512
    hop: int = 160
    mels: int = 64
    fmin: float = 50.0
    fmax: float = 8000.0
    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    embedding: int = 2048
    classes: int = 527


class Tagging(NamedTuple):
    """`embedding` [B, D] (after ReLU) and `logits` [B, C] (before the sigmoid)."""

    embedding: Tensor
    logits: Tensor


class Kernel(nn.Module):
    """A fixed convolution kernel that travels with the checkpoint and is never trained."""

    weight: Tensor

    def __init__(self, weight: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)))


class Dft(nn.Module):
    """Cosine and sine kernels [bins, 1, window] under a periodic Hann window."""

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.hop, self.pad = hop, window // 2
        samples = np.arange(window)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * samples / window)
        # Whole turns are taken off while the product is an integer: large angles lose digits.
        angle = 2 * np.pi * (np.outer(np.arange(window // 2 + 1), samples) % window) / window
        self.conv_real = Kernel((np.cos(angle) * hann)[:, None])
        self.conv_imag = Kernel((-np.sin(angle) * hann)[:, None])

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn waveform [B, N] into power [B, frames, bins], a frame around each hop."""
        padded = F.pad(waveform[:, None], (self.pad, self.pad), mode="reflect")
        real = F.conv1d(padded, self.conv_real.weight, stride=self.hop)
        imag = F.conv1d(padded, self.conv_imag.weight, stride=self.hop)
        return (real.square() + imag.square()).transpose(1, 2)


class Spectrogram(nn.Module):
    """Holds the DFT under the name that the checkpoints give it."""

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        self.stft = Dft(config.window, config.hop)


class LogMel(nn.Module):
    """Power [B, frames, bins] to decibels [B, frames, mels]; no top_db."""

    melW: Tensor

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        bank = slaney_bank(config.rate_hz, config.window, config.mels, config.fmin, config.fmax)
        self.register_buffer("melW", torch.from_numpy(bank))

    def forward(self, power: Tensor) -> Tensor:
        return 10.0 * torch.log10(torch.clamp(power @ self.melW, min=POWER_FLOOR))


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and ReLU, then average pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        nn.init.xavier_uniform_(self.conv1.weight)
        nn.init.xavier_uniform_(self.conv2.weight)

    def forward(self, maps: Tensor, pool: int) -> Tensor:
        maps = F.relu(self.bn1(self.conv1(maps)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        return F.avg_pool2d(maps, pool) if pool > 1 else maps


class Cnn14(nn.Module):
    """`forward(waveform [B, N]) -> Tagging`; dropout only while training."""

    def __init__(self, config: Cnn14Config) -> None:
        super().__init__()
        self.config = config
        self.spectrogram_extractor = Spectrogram(config)
        self.logmel_extractor = LogMel(config)
        self.bn0 = nn.BatchNorm2d(config.mels)
        inputs = (1, *config.channels[:-1])
        for index, (wide, narrow) in enumerate(zip(config.channels, inputs, strict=True), 1):
            self.add_module(f"conv_block{index}", ConvBlock(narrow, wide))
        self.fc1 = nn.Linear(config.channels[-1], config.embedding)
        self.fc_audioset = nn.Linear(config.embedding, config.classes)
        for linear in (self.fc1, self.fc_audioset):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    @property
    def minimum_samples(self) -> int:
        """Return the shortest waveform that survives every pooling and the reflect padding."""
        return max(2 ** (len(self.config.channels) - 1) * self.config.hop, self.config.window)

    @property
    def block_names(self) -> list[str]:
        return [f"conv_block{index + 1}" for index in range(len(self.config.channels))]

    def forward(self, waveform: Tensor) -> Tagging:
        return self.from_logmel(self.logmel(waveform))

    def logmel(self, waveform: Tensor) -> Tensor:
        """Turn waveform [B, N] into decibels [B, 1, 1 + N // hop, mels].

        ValueError when too short.
        """
        self.check_length(waveform)
        return self.logmel_extractor(self.spectrogram_extractor.stft(waveform))[:, None]

    def check_length(self, waveform: Tensor) -> None:
        """Raise ValueError for a waveform [B, N] that is too short."""
        if waveform.shape[-1] < self.minimum_samples:
            raise ValueError(
                f"waveform has {waveform.shape[-1]} samples, the network needs at least "
                f"{self.minimum_samples}; zero-pad it"
            )

    def from_logmel(self, logmel: Tensor) -> Tagging:
        """Run the network behind the front end: decibels [B, 1, frames, mels] to `Tagging`."""
        maps = self.bn0(logmel.transpose(1, 3)).transpose(1, 3)
        for name in self.block_names:
            pool = 1 if name == self.block_names[-1] else 2
            maps = self.get_submodule(name)(maps, pool)
            maps = F.dropout(maps, 0.2, self.training)
        embedding = F.relu(self.fc1(F.dropout(pooled(maps), 0.5, self.training)))
        logits = self.fc_audioset(F.dropout(embedding, 0.5, self.training))
        return Tagging(embedding, logits)


def pooled(maps: Tensor) -> Tensor:
    """Pool maps [B, C, frames, mels] to [B, C]: mean over mel, then maximum plus mean over time."""
    over_time = maps.mean(dim=3)
    return over_time.amax(dim=2) + over_time.mean(dim=2)


class Power:
    """The power spectrum of one waveform: by FFT where the checkpoint's kernels are the DFT's."""

    def __init__(self, dft: Dft) -> None:
        """Take `dft`, which holds the kernels of the checkpoint.

        Where they differ it is used as it is.
        """
        window = dft.conv_real.weight.shape[-1]
        expected = Dft(window, dft.hop).state_dict()
        kernels = dft.state_dict().items()
        same = all(
            (expected[name] - kernel.cpu()).abs().max() < SAME_KERNEL for name, kernel in kernels
        )
        self._dft, self._window = dft, window
        self._hann = torch.hann_window(window, device=dft.conv_real.weight.device) if same else None

    def __call__(self, waveform: Tensor) -> Tensor:
        """Turn [1, N] into [1, frames, bins]."""
        if self._hann is None:
            return self._dft(waveform)
        spectrum = torch.stft(
            waveform, self._window, self._dft.hop, window=self._hann, return_complex=True
        )
        return torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)


class Inference:
    """The network at its quickest: BatchNorm within the convolutions, one clip at a time."""

    def __init__(self, network: Cnn14, precision: Precision) -> None:
        self._network = network
        self._power = Power(network.spectrogram_extractor.stft)
        self._blocks: list[list[prepacked.Layer]] = []
        for name in network.block_names:
            block = network.get_submodule(name)
            assert isinstance(block, ConvBlock), f"{name} is a {type(block).__name__}"
            folded = (
                prepacked.fold_norm(convolution, norm)
                for convolution, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2))
            )
            self._blocks.append([prepacked.convolution(*pair, precision) for pair in folded])
        self._embed = prepacked.pack_linear(network.fc1, "relu", precision)
        self._classify = prepacked.pack_linear(network.fc_audioset, precision=precision)

    def logmel(self, waveform: Tensor) -> Tensor:
        """Do as `Cnn14.logmel`."""
        self._network.check_length(waveform)
        return self._network.logmel_extractor(self._power(waveform))[:, None]

    def from_logmel(self, logmel: Tensor) -> Tagging:
        """Do as `Cnn14.from_logmel`."""
        return self.from_pooled(pooled(self.maps(logmel)))

    def maps(self, logmel: Tensor) -> Tensor:
        """Return what the last block gives, before the pooling over time: [B, C, frames, mels]."""
        maps = self._network.bn0(logmel.transpose(1, 3)).transpose(1, 3)
        for index, (first, second) in enumerate(self._blocks):
            maps = second(first(F.avg_pool2d(maps, 2) if index else maps))
        return maps

    def from_pooled(self, rows: Tensor) -> Tagging:
        """Turn pooled maps [N, C] into `Tagging`."""
        embedding = self._embed(rows)
        return Tagging(embedding, self._classify(embedding))


class TaggerCard(BaseModel):
    """`config.json` of a tagger: the network, its class names and the logits that mean "heard"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Cnn14Config = Cnn14Config()
    labels: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()


class Cnn14Tagger(NetworkEmbedder):
    """`metrics.contract.Tagger` over weights; what is not given is on their folder's card."""

    def __init__(
        self,
        weights: str | Path | weight_sources.Source,
        config: Cnn14Config | None = None,
        labels: Sequence[str] | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        """Read the card if need be.

        Raises FileNotFoundError when a card is needed and missing, ValueError on sizes.
        """
        super().__init__(weight_sources.as_source(weights))
        if config is None or labels is None or thresholds is None:
            card = store.read_config(weight_sources.folder(weights), TaggerCard)
        else:
            card = TaggerCard()
        self.config = card.network if config is None else config
        self.labels = tuple(card.labels if labels is None else labels)
        self.thresholds = np.asarray(card.thresholds if thresholds is None else thresholds, float)
        self.rate_hz = self.config.rate_hz
        for name, size in (("labels", len(self.labels)), ("thresholds", len(self.thresholds))):
            # None at all are allowed: FD, KL and IS need neither.
            if size not in (0, self.config.classes):
                raise ValueError(
                    f"tagger ({self.origin}): {size} {name}, expected {self.config.classes} "
                    f"(classes of the network); correct {store.CONFIG}"
                )

    def settings(self) -> dict[str, Any]:
        return {
            "network": self.config.model_dump(mode="json"),
            "labels": self.labels,
            "thresholds": self.thresholds.tolist(),
        }

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return one embedding row and the logits of each clip; short clips are zero-padded."""
        check(waveforms)
        with torch.inference_mode(), exact():
            return [self._hear_clip(waveform) for waveform in waveforms]

    def _build(self) -> None:
        network = Cnn14(self.config).eval()
        self.source.fill(network)
        self._minimum = max(MINIMUM_SAMPLES, network.minimum_samples)
        self._inference = Inference(network.to(self._device), self.precision)
        for name in (*network.block_names, "fc1", "fc_audioset"):
            delattr(network, name)  # `Inference` holds them, laid out anew

    def _hear_clip(self, waveform: np.ndarray) -> Features:
        samples = torch.tensor(padded(waveform, self._minimum)[None], device=self._device)
        logmel = self._inference.logmel(samples)
        with self._mixed():
            tagging = self._inference.from_logmel(logmel)
        embedding, logits = (tensor.float().cpu().numpy() for tensor in tagging)
        return Features(embedding, logits[0])
