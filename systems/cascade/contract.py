"""The two halves of a cascade: a recogniser that writes text, a generator that reads it.

Either may offer `eager()`, the generator `load_generator()`; see systems/contract.py.
"""

from typing import Any, ClassVar, NamedTuple, Protocol

from systems.contract import Spans, Utterance, Waveform


class Transcript(NamedTuple):
    """What was heard: `text` (may be empty), `tokens` its length in the recogniser's units."""

    text: str
    tokens: int | None = None


class Recogniser(Protocol):
    """Speech to text."""

    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False

    def load(self, device: str, dtype: str) -> None:
        """Read the models. Raises FileNotFoundError with the path when one is missing."""

    def transcribe(self, speech: Utterance, spans: Spans) -> Transcript:
        """The words of one utterance; the same whatever was transcribed before it.

        Marks "asr.decode", and "asr.encode" where the recogniser has an encoder of its own.
        """

    def provenance(self) -> dict[str, Any]:
        """Versions, settings and the sha256 of weights, as plain JSON types."""


class TextToAudio(Protocol):
    """Text to sound, in two phases. `generate` draws its noise for clip i from `seeds[i]` alone."""

    sample_rate: int

    def load(self, device: str, dtype: str) -> None:
        """Read the weights. Raises FileNotFoundError with the path when they are missing."""

    def encode(self, text: str, spans: Spans) -> Any:
        """What `generate` needs of one text. Marks "text_encoder"."""

    def generate(self, contexts: list[Any], seeds: list[int], spans: Spans) -> list[Waveform]:
        """One waveform for each context. Marks "sampler" and "decoder"."""

    def provenance(self) -> dict[str, Any]:
        """Settings and the sha256 of weights, as plain JSON types."""
