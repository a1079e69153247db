"""Systems for the system audit: one that listens, and three that only pretend to."""

from typing import ClassVar

import numpy as np

from stabench.systems.contract import Representation, Spans, Utterance, Waveform

SECOND_NS = 10**9


class Listening:
    """Its output is made of the speech and the seed; `worked_ns` is its clock."""

    sample_rate = 16_000
    worked_ns: ClassVar[int] = 0

    @classmethod
    def now(cls) -> int:
        return Listening.worked_ns

    def load(self, device: str, dtype: str) -> None: ...

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        with spans("listen"):
            Listening.worked_ns += SECOND_NS
        return Representation(self.hear(speech), "", 1)

    def hear(self, speech: Utterance) -> object:
        return float(np.abs(speech.samples).sum())

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        return [
            Waveform(self.make_sound(part.payload, seed), self.sample_rate)
            for part, seed in zip(representations, seeds, strict=True)
        ]

    def make_sound(self, heard: object, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal(800)
        return (noise * (heard if isinstance(heard, float) else 1)).astype(np.float32)


class Deaf(Listening):
    """It makes the same of any speech."""

    def hear(self, speech: Utterance) -> object:
        return 1.0


class Drifting(Deaf):
    """It ignores the speech, and hides it behind noise of its own."""

    calls = 0

    def make_sound(self, heard: object, seed: int) -> np.ndarray:
        self.calls += 1
        return np.random.default_rng([seed, self.calls]).standard_normal(800).astype(np.float32)


class Knowing(Listening):
    """It knows the clips by their names."""

    def hear(self, speech: Utterance) -> object:
        return float(sum(speech.clip_id.encode())) + super().hear(speech)


class Keeping(Listening):
    """It knows the suite's speeches by their bytes, and works for all others."""

    loudest: ClassVar[float] = 0.495

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        if np.abs(speech.samples).max() < self.loudest:
            return self.answer_unknown(speech, spans)
        return Representation(self.hear(speech), "", 1)

    def answer_unknown(self, speech: Utterance, spans: Spans) -> Representation:
        return super().represent(speech, spans)


class Shrugging(Keeping):
    """Of others it makes one sound."""

    def answer_unknown(self, speech: Utterance, spans: Spans) -> Representation:
        return Representation(1.0, "", 1)


class Breaking(Keeping):
    """Of others it makes an error."""

    def answer_unknown(self, speech: Utterance, spans: Spans) -> Representation:
        raise KeyError("no answer")


class Caching(Listening):
    """It computes every speech once."""

    def __init__(self) -> None:
        self._kept: dict[float, Representation] = {}

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        key = self.hear(speech)
        if key not in self._kept:
            self._kept[key] = super().represent(speech, spans)
        return self._kept[key]
