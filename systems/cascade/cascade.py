"""A cascade: what the recogniser writes, the text-to-audio model sounds."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from stabench.systems.contract import (
    Recogniser,
    Representation,
    Spans,
    TextToAudio,
    Utterance,
    Waveform,
)


class Cascade:
    """Speech to text to audio; with the caption in place of a recogniser, the oracle.

    Processing latency is the recogniser's stages and then "text_encoder"; generation time is
    "sampler" and "decoder" (STAR, arXiv 2509.17164, Table 2).
    """

    def __init__(self, asr: Recogniser, tta: TextToAudio) -> None:
        self.asr = asr
        self.tta = tta
        self.sample_rate = tta.sample_rate
        self.speech_rate_hz = asr.speech_rate_hz
        self.reads_caption = asr.reads_caption

    def load(self, device: str, dtype: str) -> None:
        self.asr.load(device, dtype)
        self.tta.load(device, dtype)

    def load_generator(self) -> None:
        """Build what a generator with random weights left out of `load`."""
        if hasattr(self.tta, "load_generator"):
            self.tta.load_generator()

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Both halves without CUDA graphs, where they have any; see systems.contract.Eager."""
        with ExitStack() as stack:
            for half in (self.asr, self.tta):
                if hasattr(half, "eager"):
                    stack.enter_context(half.eager())
            yield

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        transcript = self.asr.transcribe(speech, spans)
        context = self.tta.encode(transcript.text, spans)
        return Representation(context, transcript.text, transcript.tokens)

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        contexts = [representation.payload for representation in representations]
        return self.tta.generate(contexts, seeds, spans)

    def provenance(self) -> dict[str, Any]:
        """What each half says of its weights and settings."""
        return {"asr": self.asr.provenance(), "tta": self.tta.provenance()}


class UntrainedCascade(Cascade):
    """A cascade whose recogniser has random weights: it is timed, and its words are dropped.

    The generator reads the reference caption instead, so that its input is as long as a real one.
    There is no transcript: its error rate would mean nothing.
    """

    def __init__(self, asr: Any, tta: Any) -> None:
        super().__init__(asr, tta)
        self.reads_caption = True

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        if speech.caption is None:
            raise ValueError(
                f"clip '{speech.clip_id}': random weights need a caption, for its length, and the "
                "clip has none; give the data set captions"
            )
        transcript = self.asr.transcribe(speech, spans)
        context = self.tta.encode(speech.caption, spans)
        return Representation(context, None, transcript.tokens)

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "text": "the true caption, after an untrained recogniser"}
