"""Word CTC on STAR's own speech encoder: the recogniser of a cascade matched to STAR.

Encoder, its weights file and its front end are STAR's; a head of two convolutions takes the place
of the bridge. What is left between such a cascade and STAR is the text between speech and sound.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stabench.checkpoints.digests import sha256
from stabench.systems.asr.arpa import BackOffModel, read_arpa
from stabench.systems.asr.ctc_config import CtcHeadConfig, SearchConfig
from stabench.systems.asr.ctc_search import search_prefixes
from stabench.systems.contract import Spans, Transcript, Utterance
from stabench.systems.networks.config import DTYPES, to_dict
from stabench.systems.star.config import SpeechEncoderConfig

PARTS = ("speech_encoder", "ctc")


class CtcRecogniser:
    """Speech to words by prefix beam search over the posteriors of a CtcHead.

    `weights` is a table of part ("speech_encoder", "ctc") to safetensors file, `words` the file of
    the vocabulary, one word a line in the order of the head's outputs ([PAD] and [UNK] before them
    are no words of it), `arpa` a language model that knows them all, None for a search without one.
    """

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False

    def __init__(
        self,
        encoder: SpeechEncoderConfig,
        head: CtcHeadConfig,
        weights: Mapping[str, str | Path],
        words: str | Path,
        arpa: str | Path | None = None,
        search: SearchConfig | None = None,
    ) -> None:
        if set(weights) != set(PARTS):
            raise ValueError(
                f"weights names {', '.join(sorted(weights)) or 'nothing'}, expected are "
                f"{' and '.join(PARTS)}; give one file for each"
            )
        if head.width != encoder.width:
            raise ValueError(
                f"head.width is {head.width}, but encoder.width is {encoder.width}; make them equal"
            )
        self.encoder_config, self.head_config = encoder, head
        self.weights = {part: Path(weights[part]) for part in PARTS}
        self.words, self.arpa = Path(words), None if arpa is None else Path(arpa)
        self.search = search or SearchConfig()
        self.language: BackOffModel | None = None
        self._encoder: Any = None
        self._head: Any = None

    def load(self, device: str, dtype: str) -> None:
        """Read vocabulary, language model and networks; the search runs on the CPU everywhere.

        FileNotFoundError: a file is missing. ValueError: a file is damaged, or the files do not fit
        each other.
        """
        import torch

        from stabench.checkpoints.random_weights import allocate, hollow
        from stabench.systems.asr.ctc_head import CtcHead
        from stabench.systems.networks.checkpoint import load_part
        from stabench.systems.star.parts import cast
        from stabench.systems.star.speech_encoder import build_speech_encoder

        if dtype not in DTYPES:
            raise ValueError(f"precision is {dtype!r}, allowed are {', '.join(DTYPES)}")
        self.vocabulary = _read_vocabulary(self.words, self.head_config.vocabulary)
        self.language = None if self.arpa is None else read_arpa(self.arpa)
        if self.language is not None:
            unknown = [word for word in self.vocabulary if word not in self.language.vocabulary]
            if unknown:
                raise ValueError(
                    f"{self.arpa}: does not know {len(unknown)} words of {self.words}, first "
                    f"{unknown[0]!r}; train the language model on texts with all of them"
                )
        encoder = allocate(hollow(lambda: build_speech_encoder(self.encoder_config)))
        head = allocate(hollow(lambda: CtcHead(self.head_config)))
        for part, network in zip(PARTS, (encoder, head), strict=True):
            load_part(self.weights[part], network)
        kind = getattr(torch, dtype)
        self._encoder = cast(encoder.fuse().eval(), device, kind)
        self._head = cast(head.eval(), device, kind)
        self.device = device

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        """Marks "asr.encode" (encoder, head, posteriors to the host) and "asr.decode"."""
        if self._head is None:
            raise RuntimeError("CtcRecogniser is not loaded; call load(device, dtype) first")
        if speech.rate_hz != self.speech_rate_hz:
            raise ValueError(
                f"clip {speech.clip_id!r}: speech is {speech.rate_hz} Hz, expected "
                f"{self.speech_rate_hz} Hz; resample it before"
            )
        with spans("asr.encode"):
            log_posteriors = self.compute_posteriors(speech.samples)
        with spans("asr.decode"):
            best = search_prefixes(log_posteriors, self.vocabulary, self.search, self.language)[0]
        return Transcript(" ".join(best.words), len(best.words))

    def compute_posteriors(self, samples: np.ndarray) -> np.ndarray:
        """Return ln P of blank and words, float32 [T, V + 1], of 16 kHz samples [N]."""
        import torch

        with torch.inference_mode():
            # "W": from_numpy warns of an array that cannot be written to.
            waveform = torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))
            frames = self._encoder(waveform.to(self.device)[None]).frames
            # The search adds logarithms of hundreds of frames: half precision would not do.
            return self._head(frames)[0].float().log_softmax(-1).cpu().numpy()

    def provenance(self) -> dict[str, Any]:
        """Sizes and settings, and the sha256 of every file that is read."""
        return {
            "encoder": to_dict(self.encoder_config),
            "head": to_dict(self.head_config),
            "weights": {part: sha256(path) for part, path in self.weights.items()},
            "words": sha256(self.words),
            "lm": None if self.arpa is None else sha256(self.arpa),
            "search": to_dict(self.search),
        }


def _read_vocabulary(path: Path, size: int) -> tuple[str, ...]:
    """Return the words of a file in order; ValueError unless there are `size`, each once."""
    from stabench.systems.tta.word_tokenizer import WordTokenizer

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such vocabulary; it is written beside the weights")
    try:
        # The first two are [PAD] and [UNK], which the head has no outputs for.
        words = WordTokenizer.read(path).vocabulary[2:]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(words) != size:
        raise ValueError(
            f"{path}: holds {len(words)} words, but head.vocabulary is {size}; "
            "use the words that the head was trained with"
        )
    return words
