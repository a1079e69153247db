"""Whisper at its best in PyTorch: a static key-value cache and, on a GPU, CUDA graphs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabench.systems.asr.whisper_static import StaticDecoder
from stabench.systems.asr.whisper_stock import StockEngine, Written, store
from stabench.systems.networks.cuda_graph import replaying

WARM_UPS = 3
Work = Callable[[], None]


class GraphEngine:
    """The steps of `StockEngine` with the same tokens, for one utterance at a time.

    On a GPU encoder, first token and next token are three graphs, recorded at the first utterance
    and replayed from then on. The host waits once a token, to see whether it is the end mark;
    nothing else waits. On a CPU, and inside `without_graphs`, the same work runs without graphs.
    """

    def __init__(self, network: Any, dtype: torch.dtype, language: str, forced: bool) -> None:
        from whisper.decoding import DecodingTask

        # Only its options are used, so that the dtype given here decides nothing.
        stock = StockEngine(network, torch.float32, language, forced)
        task = DecodingTask(network, stock.options)
        self.tokenizer = task.tokenizer
        store(network, dtype)
        self.log_mel = LogMel(network.dims, network.device)
        self.heard = self.log_mel(np.zeros(0, np.float32)).to(dtype)
        self.decoder = StaticDecoder(network, dtype, task.initial_tokens, *filters(task))
        self.encoder = network.encoder
        self._works: tuple[Work, Work, Work] = (self._encode, self.decoder.begin, self.decoder.step)
        self._on_gpu = self.heard.is_cuda
        self._replays: tuple[Work, Work, Work] | None = None

    def mel(self, samples: np.ndarray) -> Tensor:
        """Log-mel [1, M, 2 A] on the device."""
        return self.log_mel(samples)

    def encode(self, mel: Tensor) -> Tensor:
        """Features [1, A, W]; the next call overwrites them."""
        encode, _, _ = self._record_works()
        self.heard.copy_(mel)
        encode()
        return self.decoder.features

    def decode(self, features: Tensor, limit: int) -> Written:
        """At most `limit` tokens of what `encode` returned, or of other features."""
        _, begin, step = self._record_works()
        if features is not self.decoder.features:
            self.decoder.features.copy_(features)
        tokens = greedy(begin, step, self.decoder.token, self.tokenizer.eot, limit)
        return Written(tokens, self.tokenizer.decode(tokens).strip())

    def _encode(self) -> None:
        self.decoder.features.copy_(self.encoder(self.heard))

    def _record_works(self) -> tuple[Work, Work, Work]:
        """Encoder, first token, next token: as graphs where there may be some."""
        if not (self._on_gpu and replaying()):
            return self._works
        if self._replays is None:
            encode, begin, step = record(self._works)
            self._replays = encode, begin, step
        return self._replays


class LogMel:
    """openai-whisper's log-mel with window, filters and the padded samples kept on the device."""

    def __init__(self, dims: Any, device: Any) -> None:
        from whisper.audio import N_FFT, mel_filters

        self.padded = torch.zeros(dims.n_audio_ctx * 2 * 160, device=device)
        self.window = torch.hann_window(N_FFT).to(device)
        self.filters = mel_filters(device, dims.n_mels)

    def __call__(self, samples: np.ndarray) -> Tensor:
        """[1, M, F] of float32 samples [T], T at most the window."""
        from whisper.audio import HOP_LENGTH, N_FFT

        self.padded[: len(samples)].copy_(torch.from_numpy(samples))
        self.padded[len(samples) :].zero_()
        bins = torch.stft(self.padded, N_FFT, HOP_LENGTH, window=self.window, return_complex=True)
        power = self.filters @ (bins[:, :-1].abs() ** 2)
        # The floor, the range of 8 (80 dB) and the scale are those of log_mel_spectrogram.
        log = power.clamp(min=1e-10).log10()
        return ((torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0)[None]


def greedy(begin: Work, step: Work, token: Tensor, eot: int, limit: int) -> list[int]:
    """Tokens up to the end mark, which is not among them, or up to `limit` of them."""
    begin()
    tokens: list[int] = []
    # int() copies one number to the host: the only wait of a step.
    while (new := int(token)) != eot:
        tokens.append(new)
        if len(tokens) == limit:
            break
        step()
    return tokens


def record(works: tuple[Work, ...]) -> tuple[Work, ...]:
    """Each work as the replay of a CUDA graph; they are run a few times in their order before."""
    # PyTorch asks for a side stream here: what the first runs set up must not be captured.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            for work in works:
                work()
    torch.cuda.current_stream().wait_stream(side)
    replays = []
    for work in works:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        replays.append(graph.replay)
    return tuple(replays)


def filters(task: Any) -> tuple[list[int], list[int]]:
    """Tokens that openai-whisper never writes, and those that it does not begin with."""
    from whisper.decoding import SuppressTokens

    (always,) = (rule for rule in task.logit_filters if isinstance(rule, SuppressTokens))
    # openai-whisper's SuppressBlank forbids a blank and the end mark as the first token.
    return list(always.suppress_tokens), [*task.tokenizer.encode(" "), task.tokenizer.eot]
