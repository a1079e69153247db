"""The first phase of STAR: speech to context tokens, as launches or as CUDA graphs."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stabench.systems.contract import Spans
from stabench.systems.networks.cuda_graph import Graphed, Pool
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.speech_encoder import MIN_SAMPLES, CodecEncoder, SpeechEncoder

# Speech is padded to a multiple of 0.32 s (16 frames of HuBERT), one graph for each.
BUCKET_SAMPLES = 5120
# HuBERT's windows are 400 samples at a hop of 320: the last frame of a bucket needs 80 more.
OVERHANG_SAMPLES = 80
# The number of buckets: speech of more than 10.24 s is read without a graph.
BUCKETS = 32


@dataclass(frozen=True)
class SpeechReader:
    """Speech at the system's rate to context tokens; marks "speech_encoder" and "bridge".

    The host waits for the device nowhere.
    """

    encoder: SpeechEncoder | CodecEncoder
    bridge: Bridge | None

    @torch.inference_mode()
    def read(self, samples: np.ndarray, spans: Spans) -> Tensor:
        """Samples float32 [N] to tokens [1, S, W] on the device, S frames without a bridge."""
        with spans("speech_encoder"):
            waveform = torch.from_numpy(samples).to(self.device)[None]
            tokens = self.encoder(waveform).frames
        if self.bridge is not None:
            with spans("bridge"):
                tokens = self.bridge(tokens)
        return tokens

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device


@dataclass(frozen=True)
class GraphedSpeechReader(SpeechReader):
    """As SpeechReader, with a graph for the encoder and one for the bridge per bucket of lengths.

    Padding is masked: it changes tokens by rounding only. Everything is captured when this is made.
    Raises ValueError for an encoder that cannot be captured.
    """

    pool: Pool = None
    _encoders: dict[int, Graphed] = field(default_factory=dict, repr=False)
    _bridges: dict[int, Graphed] = field(default_factory=dict, repr=False)

    @torch.inference_mode()
    def __post_init__(self) -> None:
        if self.encoder.config.kind == "wavlm":
            raise ValueError(
                "variant is 'graph', but encoder.kind 'wavlm' cannot be captured (transformers "
                "computes its position buckets on the host); use variant 'eager'"
            )
        for bucket in range(BUCKETS, 0, -1):  # the largest first: the others fit into its memory
            self._capture(bucket * BUCKET_SAMPLES + OVERHANG_SAMPLES)

    @torch.inference_mode()
    def read(self, samples: np.ndarray, spans: Spans) -> Tensor:
        """As SpeechReader."""
        size = bucket_size(len(samples))
        if size not in self._encoders:
            return super().read(samples, spans)
        heard = max(len(samples), MIN_SAMPLES)
        with spans("speech_encoder"):
            # Padded on the host, so that one copy goes straight into the graph's buffer.
            waveform = torch.zeros(1, size)
            waveform[0, : len(samples)] = torch.from_numpy(samples)
            frames = self._encoders[size](waveform, torch.tensor([heard]))
        count = self.encoder.count(heard)
        if self.bridge is None:
            return frames[:, :count]
        with spans("bridge"):
            return self._bridges[size](frames, torch.tensor([count]))

    def _capture(self, size: int) -> None:
        waveform = torch.zeros(1, size, device=self.device)
        length = torch.tensor([size], device=self.device)
        self._encoders[size] = Graphed(self.encoder.padded, waveform, length, pool=self.pool)
        if self.bridge is not None:
            frames, width = self.encoder.count(size), self.encoder.config.width
            weight = self.bridge.projection.weight
            self._bridges[size] = Graphed(
                self._bridge_padded,
                weight.new_zeros(1, frames, width),
                torch.tensor([frames], device=self.device),
                pool=self.pool,
            )

    def _bridge_padded(self, frames: Tensor, count: Tensor) -> Tensor:
        inside = torch.arange(frames.shape[1], device=frames.device) < count[:, None]
        assert self.bridge is not None, "captured only where there is one"
        return self.bridge.padded(frames, inside)


def bucket_size(samples: int) -> int:
    """Samples of the smallest bucket that holds so many."""
    buckets = max(1, -(-(samples - OVERHANG_SAMPLES) // BUCKET_SAMPLES))
    return buckets * BUCKET_SAMPLES + OVERHANG_SAMPLES
