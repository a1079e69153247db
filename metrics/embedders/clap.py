"""CLAP (Wu et al., 2023, arXiv 2211.06687) on transformers' ClapModel: text and audio, one space.

The front end is ours (transformers' takes about 50 ms a clip). It follows laion_clap but for one
point: of a long clip the first seconds are taken, where laion_clap draws a random crop.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from metrics.contract import Features
from metrics.embedders import weights as store
from metrics.embedders.batches import batches, check
from metrics.embedders.mel import slaney_bank

if TYPE_CHECKING:
    from transformers import ClapModel

POWER_FLOOR = 1e-10
INT16_PEAK = 32767.0
UNRELATED = ("a dog barks", "an orchestra plays softly")
LARGEST_COSINE = 0.95
ROBERTA_TOKENS, ROBERTA_LENGTH = 50265, 77
DERIVED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Index tensors that only some checkpoints hold; the network computes them itself."""


class Tokens(NamedTuple):
    """`ids` and `mask` int64 [N, L]; `mask` is 0 at padding."""

    ids: np.ndarray
    mask: np.ndarray


Tokenizer = Callable[[list[str]], Tokens]


class ClapFrontEnd(BaseModel):
    """What the audio branch was trained on; the defaults are those of laion/clap-htsat-unfused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_hz: int = 48000
    window: int = 1024
    hop: int = 480
    mels: int = 64
    fmin: float = 50.0
    fmax: float = 14000.0
    longest_s: float = 10.0
    quantised: bool = True

    def fixed_length(self, waveform: np.ndarray) -> np.ndarray:
        """The clip [N] as the network hears it: int16 steps, exactly `longest_s` long.

        Longer clips keep their beginning; shorter ones are repeated whole, then zero-padded.
        """
        samples = np.asarray(waveform, np.float32)
        if self.quantised:
            steps = (np.clip(samples, -1, 1) * np.float32(INT16_PEAK)).astype(np.int16)
            samples = (steps / INT16_PEAK).astype(np.float32)
        length = round(self.longest_s * self.rate_hz)
        if len(samples) >= length:
            return samples[:length]
        repeated = np.tile(samples, length // len(samples))
        return np.pad(repeated, (0, length - len(repeated)))


class LogMel(nn.Module):
    """Waveform [B, N] to decibels [B, 1, 1 + N // hop, mels]: centred frames, no top_db."""

    def __init__(self, front_end: ClapFrontEnd) -> None:
        super().__init__()
        self._window, self._hop = front_end.window, front_end.hop
        bank = slaney_bank(
            front_end.rate_hz, self._window, front_end.mels, front_end.fmin, front_end.fmax
        )
        self.register_buffer("_bank", torch.from_numpy(bank), persistent=False)
        self.register_buffer("_hann", torch.hann_window(self._window), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveform, self._window, self._hop, window=self._hann, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self._bank
        return 10.0 * torch.log10(torch.clamp(mel, min=POWER_FLOOR))[:, None]


class ClapEmbedder:
    """`metrics.contract.TextAudioEmbedder` over a weights folder in the layout of transformers.

    `config.json` is a ClapConfig; `tokenizer` turns captions into padded token ids.
    """

    batch_size = 8

    def __init__(
        self,
        weights: str | Path,
        tokenizer: Tokenizer,
        front_end: ClapFrontEnd | None = None,
    ) -> None:
        self.folder = Path(weights)
        self.tokenizer = tokenizer
        self.front_end = front_end or ClapFrontEnd()
        self.rate_hz = self.front_end.rate_hz

    @cached_property
    def sha256(self) -> str:
        return store.sha256(self.folder)

    def load(self, device: str) -> None:
        """Raises FileNotFoundError, or ValueError when the text branch is plainly broken."""
        self._device = device
        self._logmel = LogMel(self.front_end).to(device)
        self._model = load_model(self.folder).to(device)
        self._refuse_constant_text()

    @torch.inference_mode()
    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """One L2-normalised row [1, D] of each clip."""
        features: dict[int, Features] = {}
        for index, waveform in enumerate(waveforms):
            check(index, waveform)  # before NaN becomes an integer
        whole = [self.front_end.fixed_length(waveform) for waveform in waveforms]
        for indices, samples in batches(whole, self.batch_size):
            mel = self._logmel(torch.from_numpy(samples).to(self._device))
            rows = self._model.get_audio_features(input_features=mel).pooler_output
            for index, row in zip(indices, rows.cpu().numpy(), strict=True):
                features[index] = Features(row[None])
        return [features[index] for index in range(len(waveforms))]

    @torch.inference_mode()
    def embed_text(self, captions: list[str]) -> np.ndarray:
        """L2-normalised rows float32 [N, D]."""
        rows = []
        for start in range(0, len(captions), self.batch_size):
            tokens = self.tokenizer(captions[start : start + self.batch_size])
            output = self._model.get_text_features(
                input_ids=torch.as_tensor(tokens.ids, device=self._device),
                attention_mask=torch.as_tensor(tokens.mask, device=self._device),
            )
            rows.append(output.pooler_output.cpu().numpy())
        return np.concatenate(rows)

    def _refuse_constant_text(self) -> None:
        one, other = self.embed_text(list(UNRELATED))
        # A branch that returns zeros has no direction at all: as constant as can be.
        cosine = float(one @ other) if one.any() and other.any() else 1.0
        if not cosine < LARGEST_COSINE:
            raise ValueError(
                f"CLAP {self.folder}: '{UNRELATED[0]}' and '{UNRELATED[1]}' have cosine "
                f"{cosine:.4f}, expected under {LARGEST_COSINE}; the text branch or its "
                "tokenizer is broken, use other weights"
            )


def load_model(folder: Path) -> "ClapModel":
    """The ClapModel of `folder`, evaluating. Raises FileNotFoundError, ValueError for fusion."""
    import json

    from transformers import ClapConfig, ClapModel

    config = ClapConfig.from_dict(json.loads(store.config_text(folder)))
    if config.audio_config.enable_fusion:
        raise ValueError(
            f"CLAP {folder}: enable_fusion is true, expected an unfused checkpoint; "
            "use laion/clap-htsat-unfused"
        )
    model = ClapModel(config)
    store.load_into(model, folder, derived=DERIVED)
    return model.eval()


def roberta_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of the published checkpoints, from local files.

    Raises ValueError when it is not whole: offline, transformers returns one of five tokens
    without an error, and every caption becomes the same.
    """
    from transformers import RobertaTokenizer

    tokenizer = RobertaTokenizer.from_pretrained(str(folder), local_files_only=True)
    if len(tokenizer) != ROBERTA_TOKENS:
        raise ValueError(
            f"tokenizer {folder}: {len(tokenizer)} tokens, expected {ROBERTA_TOKENS}; "
            "fetch vocab.json and merges.txt of roberta-base"
        )

    def tokenize(captions: list[str]) -> Tokens:
        encoded = tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=ROBERTA_LENGTH,
            return_tensors="np",
        )
        return Tokens(encoded["input_ids"], encoded["attention_mask"])

    return tokenize
