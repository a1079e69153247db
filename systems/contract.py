"""What a system under test is: the contract between an adapter and the clock that times it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

# `with spans("bridge"): ...` times one stage; the harness hands the object in.
Spans = Callable[[str], AbstractContextManager[None]]


class Utterance(NamedTuple):
    """One spoken caption: `samples` float32 [T], mono, within +-1, at the system's speech rate.

    `caption` is the true text; it is None unless the system declares `reads_caption`.
    """

    clip_id: str
    samples: np.ndarray
    rate_hz: int
    caption: str | None = None


class Representation(NamedTuple):
    """What the first phase hands to the second: `payload` is the system's own, for one clip.

    `text` is the transcript where there is one, `tokens` its length in the recogniser's tokens.
    """

    payload: Any
    text: str | None = None
    tokens: int | None = None


class Waveform(NamedTuple):
    """Generated sound: `samples` float32 [T], mono, at `rate_hz`."""

    samples: np.ndarray
    rate_hz: int


class System(Protocol):
    """A system in two timed phases: `represent` (processing latency), `generate` (generation time).

    `generate` draws its noise for clip i from `seeds[i]` alone, so that a batch gives the audio
    of single calls (to numerical tolerance).
    """

    sample_rate: int
    speech_rate_hz: ClassVar[int] = 16_000
    reads_caption: ClassVar[bool] = False

    def load(self, device: str, dtype: str) -> None:
        """Read the weights and move them to `device` ("cpu", "cuda"); `dtype` is "float32", ..."""

    def represent(self, speech: Utterance, spans: Spans) -> Representation:
        """Turn one utterance into what `generate` needs."""

    def generate(
        self, representations: list[Representation], seeds: list[int], spans: Spans
    ) -> list[Waveform]:
        """Turn a batch of representations into one waveform each."""


class LoadsGenerator(Protocol):
    """Optional: a system whose `load` leaves out what only `generate` needs.

    Random weights need no file that must be checked beforehand, and the generators are the larger
    part: a run of `represent` alone stays small. `generate` builds what is not there.
    """

    def load_generator(self) -> None:
        """Build it now, before any clock runs; a second call does nothing."""


class Eager(Protocol):
    """Optional: a system that replays CUDA graphs, into which no counter of operations can look."""

    def eager(self) -> AbstractContextManager[None]:
        """Inside, the same arithmetic is launched operation by operation."""


class RunsElsewhere(Protocol):
    """Optional: a system whose work is done by another program, which the worker only asks.

    Memory, GPU and package versions of the worker are not the system's, and are not recorded.
    """

    runs_elsewhere: ClassVar[bool] = True

    def usable(self) -> bool:
        """Return False when no further clip can be run: the next one gets a new worker."""


class Replays(Protocol):
    """Optional: a system that plays back what was made elsewhere, at another time.

    What its phases take is the reading of files: no latency of it is shown or compared.
    """

    replays: ClassVar[bool] = True


class AnswersAtOnce(Protocol):
    """Optional: a system that cannot tell its phases apart, and does everything in the last one.

    The phases named here are called and do nothing that counts. What the last one takes is stored
    as the time of all of them together, and shown as that of none.
    """

    untimed: tuple[str, ...]


@runtime_checkable
class AddsStages(Protocol):
    """What the `spans` of a timed clip can do besides: take a stage that was timed elsewhere."""

    def add(self, name: str, wall_ns: int) -> None:
        """Add a stage to the running phase. Raises ValueError when it does not fit into it."""


class Transcript(NamedTuple):
    """What was heard: `text` (may be empty), `tokens` its length in the recogniser's units."""

    text: str
    tokens: int | None = None


class Recogniser(Protocol):
    """Speech to text."""

    speech_rate_hz: ClassVar[int] = 16_000

    @property
    def reads_caption(self) -> bool:
        """Whether it is handed the true caption: a class's own, or as it was made."""

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
