"""CLAP (Wu et al., 2023, arXiv 2211.06687) on transformers' ClapModel: text and audio, one space.

The front end is ours (transformers' takes about 50 ms a clip). It follows laion_clap but for two
points: of a long clip the first seconds are taken, where laion_clap draws a random crop, and the
round trip through int16 is the caller's to make or to leave.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from stabench.checkpoints.tensors import fill_network
from stabench.metrics.contract import Features
from stabench.metrics.embedders import weight_sources
from stabench.metrics.embedders import weights as store
from stabench.metrics.embedders.htsat import Htsat
from stabench.metrics.embedders.mel import slaney_bank
from stabench.metrics.embedders.network import NetworkEmbedder, check, exact
from stabench.metrics.embedders.tokens import Tokenizer, Tokens
from stabench.metrics.text_tower import UNRELATED, explain_collapse, measure_likeness

if TYPE_CHECKING:
    from transformers import ClapConfig

# `amin` of torchlibrosa's log-mel layer, with which the published networks were trained.
POWER_FLOOR = 1e-10
# The tensors of the text tower.
TEXT_TOWER = ("text_model.", "text_projection.")
# Index tensors that only some checkpoints hold; the network computes them itself.
DERIVED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
# Captions go through the network by 8, padded to a multiple of 16 tokens.
CAPTIONS, STEP = 8, 16


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

    def fixed_length(self, waveform: np.ndarray) -> np.ndarray:
        """Return the clip [N] as the network hears it: exactly `longest_s` long.

        Longer clips keep their beginning; shorter ones are repeated whole, then zero-padded.
        """
        samples = np.asarray(waveform, np.float32)
        length = round(self.longest_s * self.rate_hz)
        if len(samples) >= length:
            return samples[:length]
        # laion_clap calls it "repeatpad".
        repeated = np.tile(samples, length // len(samples))
        return np.pad(repeated, (0, length - len(repeated)))


class LogMel(nn.Module):
    """Waveform [B, N] to decibels [B, 1, 1 + N // hop, mels]: centred frames, no top_db."""

    _bank: Tensor
    _hann: Tensor

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


class Captions(NamedTuple):
    """`indices` of captions in the caller's list, and their `tokens` [CAPTIONS, L]."""

    indices: list[int]
    tokens: Tokens


def batches(tokens: Tokens, pad: int) -> Iterator[Captions]:
    """Yield batches of one of few shapes, each caption in a shape of its own length.

    So a caption's bits do not depend on the others.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, words in enumerate(tokens.mask.sum(1)):
        # At least one padding token ends every row: where no mask is needed, transformers leaves it
        # out, and with it changes the bits.
        by_length[(int(words) // STEP + 1) * STEP].append(index)
    for length, indices in by_length.items():
        for start in range(0, len(indices), CAPTIONS):
            chosen = indices[start : start + CAPTIONS]
            # A last, smaller batch is filled up by repeats: another shape has other bits.
            rows = (chosen * CAPTIONS)[:CAPTIONS]
            yield Captions(
                chosen,
                Tokens(
                    _cut_rows(tokens.ids[rows], length, pad), _cut_rows(tokens.mask[rows], length)
                ),
            )


def _cut_rows(rows: np.ndarray, length: int, filler: int = 0) -> np.ndarray:
    cut = rows[:, :length]
    return np.pad(cut, ((0, 0), (0, length - cut.shape[1])), constant_values=filler)


class ClapEmbedder(NetworkEmbedder):
    """`metrics.contract.TextAudioEmbedder` over weights in the layout of transformers.

    `config` is a ClapConfig's JSON, read from the weights' folder if not given; `tokenizer` turns
    captions into padded token ids. Clips of up to `longest_s` seconds are heard whole.
    """

    def __init__(
        self,
        weights: str | Path | weight_sources.Source,
        tokenizer: Tokenizer,
        front_end: ClapFrontEnd | None = None,
        config: str | None = None,
    ) -> None:
        """Read the config if need be.

        Raises FileNotFoundError when the config is needed and missing.
        """
        super().__init__(weight_sources.as_source(weights))
        self.tokenizer = tokenizer
        self.front_end = front_end or ClapFrontEnd()
        self.rate_hz, self.longest_s = self.front_end.rate_hz, self.front_end.longest_s
        if config is None:
            config = store.config_text(weight_sources.folder(weights))
        self._config = config

    def settings(self) -> dict[str, Any]:
        return {
            "network": json.loads(self._config),
            "front_end": self.front_end.model_dump(mode="json"),
            "tokenizer": self.tokenizer.identity,
        }

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return one L2-normalised row [1, D] of each clip."""
        check(waveforms)
        features = []
        with torch.inference_mode(), exact():
            for waveform in waveforms:
                samples = self.front_end.fixed_length(waveform)[None]
                decibels = self._logmel(torch.tensor(samples, device=self._device))
                # The front end stays in float32: only the network is asked for less.
                with self._mixed():
                    row = self._hear(decibels)
                features.append(Features(row.float().cpu().numpy()))
        return features

    def embed_text(self, captions: list[str]) -> np.ndarray:
        """Return L2-normalised rows float32 [N, D]."""
        return self._read_captions(
            captions, lambda **tokens: self._model.get_text_features(**tokens).pooler_output
        )

    def measure_text(self) -> float:
        """Return how alike unrelated captions are to the text tower, which alone is loaded.

        Raises FileNotFoundError, or ValueError for weights that do not fit.
        """
        from transformers import ClapTextModelWithProjection

        tower = ClapTextModelWithProjection(self._read_text_config())
        tensors = {
            name: tensor
            for name, tensor in self.source.tensors().items()
            if name.startswith(TEXT_TOWER)
        }
        fill_network(tower, tensors, f"CLAP ({self.origin}), text tower", DERIVED)
        tower = tower.eval().to(self._device)
        return measure_likeness(
            self._read_captions(list(UNRELATED), lambda **tokens: tower(**tokens).text_embeds)
        )

    def _read_captions(self, captions: list[str], read: Callable[..., Tensor]) -> np.ndarray:
        """Return the rows [N, D] that `read` makes of tokens, whatever the company of a caption."""
        rows = np.zeros((len(captions), self._read_config().projection_dim), np.float32)
        with torch.inference_mode(), exact(), self._mixed():
            tokens = self.tokenizer(captions)
            for indices, batch in batches(tokens, self._read_text_config().pad_token_id):
                output = read(
                    input_ids=torch.tensor(batch.ids, device=self._device),
                    attention_mask=torch.tensor(batch.mask, device=self._device),
                )
                rows[indices] = output[: len(indices)].float().cpu().numpy()
        return rows

    def find_unknown_words(self, captions: Iterable[str]) -> set[str]:
        """Return the words that the tokenizer does not know; none of one that spells them."""
        find = getattr(self.tokenizer, "find_unknown_words", None)
        return find(captions) if find else set()

    def _build(self) -> None:
        from transformers import ClapModel

        self._logmel = LogMel(self.front_end).to(self._device)
        model = ClapModel(self._read_config())
        self.source.fill(model, DERIVED)
        self._model = model.eval().to(self._device)
        self._hear = Htsat(self._model, self.precision)
        del self._model.audio_model.audio_encoder.layers  # `Htsat` holds them, laid out anew
        # Random weights tell no captions apart, and need not.
        if not isinstance(self.source, weight_sources.Seeded):
            self._refuse_constant_text()

    def _read_config(self) -> "ClapConfig":
        """Return the config. Raises ValueError for a fusion checkpoint."""
        from transformers import ClapAudioConfig, ClapConfig

        config = ClapConfig.from_dict(json.loads(self._config))
        assert isinstance(config.audio_config, ClapAudioConfig)
        if config.audio_config.enable_fusion:
            raise ValueError(
                f"CLAP ({self.origin}): enable_fusion is true, expected an unfused checkpoint; "
                "use laion/clap-htsat-unfused"
            )
        return config

    def _read_text_config(self) -> Any:
        config = self._read_config().text_config
        assert config is not None, "ClapConfig makes one where the JSON has none"
        return config

    def _refuse_constant_text(self) -> None:
        """Raise ValueError when the text tower is plainly broken."""
        if fault := explain_collapse(measure_likeness(self.embed_text(list(UNRELATED)))):
            raise ValueError(f"CLAP ({self.origin}): {fault}")
