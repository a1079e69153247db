"""Whisper (arXiv 2212.04356) as a cascade's recogniser, on openai-whisper's network."""

import importlib.metadata
import warnings
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from stabench.systems.asr.whisper_checkpoint import (
    PUBLISHED,
    RANDOM,
    RATE_HZ,
    check_tokens,
    checked,
    forced_length,
)
from stabench.systems.asr.whisper_sizes import full_name
from stabench.systems.contract import Spans, Transcript, Utterance

# Variants, and the arithmetic that each can do; openai-whisper's decoding knows no bfloat16.
DTYPES = {
    "stock": ("float32", "float16"),
    "half": ("float32", "float16"),
    "graph": ("float32", "float16", "bfloat16"),
}
PROTOCOL, SHIPPED = "protocol", "shipped"


class Whisper:
    """Speech of at most 30 s to text: greedy, one language, no timestamps, no earlier text.

    `variant`: "stock" is openai-whisper as it is shipped (float32 weights, cast at every call when
    the arithmetic is float16); "half" the same with Linear, Conv1d and embeddings stored in
    float16; "graph" has a static key-value cache and, on a GPU, CUDA graphs, its weights stored in
    the precision of the arithmetic. `precision` is that arithmetic: "protocol" (what `load` is
    given), "shipped" (float16 on a GPU, float32 on a CPU, as `whisper.transcribe` chooses), or a
    dtype. "half" computes float32 too, from weights that hold float16 and are cast at every call.

    `weights`: "published" (OpenAI's file), "systran" (Systran's folder of the same numbers for
    CTranslate2, converted back without loss), a checkpoint of openai-whisper, a folder that holds
    one or was written by CTranslate2's converter, or "random" (full size, seeded by `seed`;
    latency only). Random weights write nonsense of exactly `tokens`
    tokens, or as many as the caption has (at least 1, at most the 224 of a window). That is one
    step less than a real model takes, which also writes the end mark.
    """

    speech_rate_hz: ClassVar[int] = RATE_HZ

    def __init__(
        self,
        model: str = "base",
        variant: str = "stock",
        weights: str | Path = PUBLISHED,
        language: str = "en",
        tokens: int | None = None,
        precision: str = PROTOCOL,
        seed: int = 0,
    ) -> None:
        self.model = full_name(model)
        if variant not in DTYPES:
            raise ValueError(f"variant is {variant!r}, allowed are {', '.join(DTYPES)}")
        choices = (PROTOCOL, SHIPPED, *DTYPES[variant])
        if precision not in choices:
            raise ValueError(
                f"precision of Whisper's {variant!r} is {precision!r}, allowed are "
                f"{', '.join(choices)}"
            )
        check_tokens(tokens, weights)
        self.variant, self.weights, self.language = variant, weights, language
        self.tokens, self.precision, self.seed = tokens, precision, seed
        self.reads_caption = weights == RANDOM and tokens is None
        self.engine: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read or draw the weights; see whisper_checkpoint.load for what is raised."""
        arithmetic = self._arithmetic(device, dtype)
        check_installed()
        import torch

        from stabench.systems.asr import whisper_checkpoint
        from stabench.systems.asr.whisper_graph import GraphEngine
        from stabench.systems.asr.whisper_stock import StockEngine, half

        loaded = whisper_checkpoint.load(self.model, self.weights, device, self.seed)
        self._tokenizer = tokenizer(loaded.dims, self.language)
        engines: dict[str, Any] = {"stock": StockEngine, "half": half, "graph": GraphEngine}
        self.engine = engines[self.variant](
            loaded.network, getattr(torch, arithmetic), self.language, self.weights == RANDOM
        )
        self.dims, self.source, self.dtype = loaded.dims, loaded.source, arithmetic

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        """Marks "asr.mel" (with padding to 30 s), "asr.encode" and "asr.decode"."""
        import torch

        self._check_loaded()
        samples = checked(speech, self.dims.samples)
        limit = self.dims.longest
        if self.weights == RANDOM:
            limit = forced_length(speech, self.tokens, self._tokenizer.encode, limit)
        with torch.inference_mode():
            with spans("asr.mel"):
                mel = self.engine.mel(samples)
            with spans("asr.encode"):
                features = self.engine.encode(mel)
            with spans("asr.decode"):
                written = self.engine.decode(features, limit)
        return Transcript(written.text, len(written.tokens))

    def eager(self) -> AbstractContextManager[None]:
        """No CUDA graph is replayed inside; see systems.contract.Eager."""
        from stabench.systems.networks.cuda_graph import without_graphs

        return without_graphs()

    def provenance(self) -> dict[str, Any]:
        """Model, weights, how it decodes, and what is stored and computed in which precision."""
        self._check_loaded()
        return {
            "openai-whisper": importlib.metadata.version("openai-whisper"),
            "model": self.model,
            "variant": self.variant,
            "weights": self.source,
            "dims": self.dims._asdict(),
            "language": self.language,
            "decoding": "greedy, temperature 0, without timestamps, no previous text",
            "stored": {"stock": "float32", "half": "float16"}.get(self.variant, self.dtype),
            "computed": self.dtype,
            **forced(self.weights, self.tokens, self.seed),
        }

    def _arithmetic(self, device: str, dtype: str) -> str:
        """The precision of the arithmetic. Raises ValueError when the variant has it not."""
        shipped = "float16" if device.startswith("cuda") else "float32"
        chosen = {PROTOCOL: dtype, SHIPPED: shipped}.get(self.precision, self.precision)
        if chosen not in DTYPES[self.variant]:
            raise ValueError(
                f"precision is {chosen!r}, allowed with Whisper's variant {self.variant!r} are "
                f"{', '.join(DTYPES[self.variant])}; give the recogniser a precision of its own"
            )
        return chosen

    def _check_loaded(self) -> None:
        if self.engine is None:
            raise RuntimeError("Whisper is not loaded; call load(device, dtype) first")


def tokenizer(dims: Any, language: str) -> Any:
    """openai-whisper's tokenizer. Raises ValueError for a language that the model does not know."""
    from whisper.tokenizer import LANGUAGES, get_tokenizer

    # The package knows 100; only models since large-v3 have a token for the last, Cantonese.
    known = list(LANGUAGES)[: dims.languages] if dims.multilingual else ["en"]
    if language not in known:
        raise ValueError(f"language is {language!r}, the model knows {', '.join(known)}")
    with warnings.catch_warnings():
        # It leaves its vocabulary file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        return get_tokenizer(dims.multilingual, num_languages=dims.languages, language=language)


def forced(weights: str | Path, tokens: int | None, seed: int) -> dict[str, Any]:
    """What random weights add to a provenance."""
    if weights != RANDOM:
        return {}
    return {"seed": seed, "tokens": "as many as the caption has" if tokens is None else tokens}


def check_installed() -> None:
    """Raises ModuleNotFoundError with what to do."""
    if find_spec("whisper") is None:
        raise ModuleNotFoundError(
            "openai-whisper is not installed; run: pip install -c constraints.txt numba tiktoken "
            "more-itertools tqdm, then pip install -c constraints.txt --no-deps openai-whisper"
        )
