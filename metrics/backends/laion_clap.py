"""CLAP by the package laion-clap, with its own front end and networks, as an embedder.

A second opinion on `metrics.embedders.clap`. As there, of a long clip the first ten seconds are
heard: the package alone would draw a random crop.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabench.metrics.backends.backend import PUBLISHED, RANDOM, Backend, clap_module
from stabench.metrics.contract import Features
from stabench.metrics.embedders.network import check, exact
from stabench.metrics.embedders.published import located
from stabench.metrics.embedders.tokens import RobertaTokens, StandInTokens, Tokenizer

# An index tensor that the checkpoints hold and newer language models compute.
POSITION_IDS = "text_branch.embeddings.position_ids"


class LaionClapEmbedder(Backend):
    """`metrics.contract.TextAudioEmbedder` over laion_clap's `CLAP_Module`, without fusion."""

    distribution = "laion-clap"
    checkpoint = "clap-630k-audioset-best"
    rate_hz = 48000
    longest_s = 10.0

    def __init__(
        self,
        weights: str | Path = PUBLISHED,
        architecture: str = "HTSAT-tiny",
        tokenizer: Tokenizer | None = None,
    ) -> None:
        """Read captions by `tokenizer`, else by roberta-base's, or by words if random.

        Raises FileNotFoundError where the package, the weights or the tokenizer are not there.
        """
        self.architecture = architecture
        super().__init__(weights)
        if tokenizer is None and weights == RANDOM:
            tokenizer = StandInTokens()
        self.tokenizer = tokenizer or RobertaTokens(located(("roberta-base",)).path)

    def parts(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "longest_s": self.longest_s,
            "tokenizer": self.tokenizer.identity,
        }

    def peer(self) -> Any:
        return clap_module(self.architecture)

    def named(self, content: Mapping[str, Any]) -> Mapping[str, Tensor]:
        state = content["state_dict"]
        names = {name: name.removeprefix("module.") for name in state}
        return {plain: state[name] for name, plain in names.items() if plain != POSITION_IDS}

    def embed(self, waveforms: list[np.ndarray]) -> list[Features]:
        """Return one L2-normalised row [1, 512] of each clip, each alone in its batch."""
        check(waveforms)
        with torch.no_grad(), exact():
            return [Features(self._embed_clip(waveform)) for waveform in waveforms]

    def embed_text(self, captions: list[str]) -> np.ndarray:
        """Return L2-normalised rows float32 [N, 512], each caption alone in its batch."""
        with torch.no_grad(), exact():
            embed = self._peer.get_text_embedding
            return np.concatenate([embed([text], tokenizer=self._tokenize) for text in captions])

    def _embed_clip(self, waveform: np.ndarray) -> np.ndarray:
        heard = waveform[: round(self.longest_s * self.rate_hz)]
        samples = torch.from_numpy(np.ascontiguousarray(heard, np.float32))[None]
        # A tensor is not rounded to int16 here: that belongs to the protocol, before.
        return self._peer.get_audio_embedding_from_data(samples, use_tensor=True).cpu().numpy()

    def _tokenize(self, captions: list[str]) -> dict[str, Tensor]:
        ids, mask = self.tokenizer(captions)
        return {"input_ids": torch.as_tensor(ids), "attention_mask": torch.as_tensor(mask)}


def embedder(weights: str = PUBLISHED) -> LaionClapEmbedder:
    """Return what is registered as "laion-clap": 630k-audioset-best. Raises FileNotFoundError."""
    return LaionClapEmbedder(weights)
