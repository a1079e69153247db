"""`stabench check` of a system: tried on one clip, in this process, each breach of contract named.

The checks are those of a run (runner/adapter.py); here the next one goes on where the last failed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.datasets.dataset import Clip, Dataset, clip_seed
from stabench.harness.device import device
from stabench.harness.errors import StabenchError, one_line
from stabench.harness.formatting import counted
from stabench.harness.runner import adapter
from stabench.harness.runner.adapter import REPRESENTATION, WAVEFORM, Order, Refused
from stabench.harness.runner.clock import Clock
from stabench.harness.runner.worker import SPEECH_RATE_HZ, UTTERANCE
from stabench.harness.scoring.measure import place_of
from stabench.harness.tasks.task import load_task

# Share of the peak by which two sounds of one seed may differ: kernels of a GPU add in any order.
# A batch may as well.
SAME = 1e-3
TONE_HZ = 440


class Outcome(NamedTuple):
    """One line of a check: `ok` is False for a fault, None for what a reader should know."""

    ok: bool | None
    what: str
    text: str

    def __str__(self) -> str:
        mark = {True: "ok", False: "fault", None: "-"}[self.ok]
        return f"{mark:6} {self.what:11} {self.text}"


class Trial(NamedTuple):
    """The clip that a system is tried on: its id, caption, what it is, its speech at any rate."""

    id: str
    caption: str
    about: str
    speech: Callable[[int], np.ndarray]


def first_clip() -> Trial:
    """Return the first clip of the pocket, or a second of a tone where that cannot be made."""
    try:
        dataset: Dataset = registry.load("datasets", "pocket")()
        clip: Clip = dataset.clips[0]
        if dataset.prepare is not None:
            dataset.prepare((clip,))
        adapter.read_speech(clip.speech, SPEECH_RATE_HZ)
    except (StabenchError, ImportError, OSError, ValueError) as error:
        about = f"one second of a tone, for the pocket's clips are not here ({one_line(error)})"
        return Trial("tone", "a tone", about, make_tone)
    caption = clip.caption or ""
    about = f"{dataset.name} {clip.id}, '{caption}'"
    return Trial(clip.id, caption, about, lambda rate: adapter.read_speech(clip.speech, rate))


def make_tone(rate_hz: int) -> np.ndarray:
    """Return one second of a tone, float32 [rate_hz], within half of full scale."""
    times = np.arange(rate_hz) / rate_hz
    return (0.5 * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.float32)


def describe_error(error: BaseException) -> str:
    """Return an exception and the line that raised it."""
    return f"raised {one_line(error)} ({place_of(error)})"


@dataclass
class SystemCheck:
    """The check of one system that was made of its class, on one clip."""

    system: Any
    order: Order
    trial: Trial
    # What the first phase returned, once it has.
    _representation: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._phases = load_task(self.order.task).phase_names
        self._clock = Clock(device(self.order.device))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield a line for each part of the contract, in the order in which a run asks for it."""
        yield Outcome(None, "clip", self.trial.about)
        missing = adapter.missing_methods(self.system, self.order.task)
        yield from (Outcome(False, "methods", line) for line in missing)
        lacking = {line.split("'")[1] for line in missing}
        if "load" not in lacking:
            try:
                adapter.load_weights(self.system, self.order)
                yield Outcome(True, "load", f"on {self.order.device}")
            except (Exception, SystemExit) as error:
                yield Outcome(False, "load", describe_error(error))
                return
        rates_ok = True
        try:
            adapter.check_rates(self.system)
            yield Outcome(True, "rates", f"speech {self._speech_rate_hz} Hz, sound {self._rate_hz}")
        except StabenchError as error:
            rates_ok = False
            yield Outcome(False, "rates", str(error))
        yield self._check_provenance()
        if lacking or self._speech_rate_hz is None:
            return
        yield from self._represent()
        if self._representation is not None:
            yield from self._generate(rates_ok)

    @property
    def _rate_hz(self) -> Any:
        return getattr(self.system, "sample_rate", None)

    @property
    def _speech_rate_hz(self) -> int | None:
        rate_hz = getattr(self.system, "speech_rate_hz", SPEECH_RATE_HZ)
        return rate_hz if type(rate_hz) is int and rate_hz > 0 else None

    def _check_provenance(self) -> Outcome:
        if not hasattr(self.system, "provenance"):
            text = "none; `provenance()` lets numbers say which weights and settings made them"
            return Outcome(None, "provenance", text)
        try:
            told = adapter.describe(self.system)
        except (Exception, SystemExit) as error:
            text = str(error) if isinstance(error, StabenchError) else describe_error(error)
            return Outcome(False, "provenance", text)
        return Outcome(True, "provenance", ", ".join(told) or "an empty dict")

    def _represent(self) -> Iterator[Outcome]:
        """Yield what the first phase gave, and keep it."""
        phase = self._phases[0]
        reads = getattr(self.system, "reads_caption", False)
        make = registry.attribute(UTTERANCE)
        rate_hz = self._speech_rate_hz
        assert rate_hz is not None
        caption = self.trial.caption if reads else None
        utterance = make(self.trial.id, self.trial.speech(rate_hz), rate_hz, caption)
        self._clock.reset()
        try:
            with self._clock.phase(phase):
                representation = getattr(self.system, phase)(utterance, self._clock)
            text, tokens = adapter.transcript(representation, phase)
        except Refused as refused:
            yield Outcome(False, phase, refused.failure.message)
            return
        except (Exception, SystemExit) as error:
            yield Outcome(False, phase, describe_error(error))
            return
        self._representation = representation
        heard = "no text" if text is None else f"text '{text}'"
        heard += "" if tokens is None else f", {counted(tokens, 'token')}"
        yield Outcome(True, phase, heard)
        yield self._list_stages(phase)

    def _list_stages(self, phase: str) -> Outcome:
        names = [span.name for span in self._clock.spans if span.phase == phase]
        if not names:
            text = f'{phase} marks none; `with spans("name"):` times a part of it'
            return Outcome(None, "stages", text)
        return Outcome(True, "stages", f"{phase}: {', '.join(names)}")

    def _call(self, representations: list[Any], seeds: list[int]) -> list[Any]:
        """Return the outputs of the last phase. Raises Refused for what a phase may not return."""
        outputs = representations
        for phase in self._phases[1:]:
            last = phase == self._phases[-1]
            with self._clock.phase(phase):
                outputs = getattr(self.system, phase)(outputs, seeds, self._clock)
            adapter.check_count(outputs, len(seeds), phase, WAVEFORM if last else REPRESENTATION)
            if not last:
                for output in outputs:
                    adapter.transcript(output, phase)
        return list(outputs)

    def _try(self, what: str, seeds: list[int]) -> Outcome | list[Any]:
        """Return the outputs of some seeds, or the line of a fault."""
        self._clock.reset()
        try:
            return self._call([self._representation] * len(seeds), seeds)
        except Refused as refused:
            return Outcome(False, what, refused.failure.message)
        except (Exception, SystemExit) as error:
            return Outcome(False, what, describe_error(error))

    def _generate(self, rates_ok: bool) -> Iterator[Outcome]:
        """Yield what the later phases make of it, and how they take seeds and batches."""
        phase, seed = self._phases[-1], clip_seed(0, self.trial.id, 0)
        outputs = self._try(phase, [seed])
        if isinstance(outputs, Outcome):
            yield outputs
            return
        stages = [self._list_stages(name) for name in self._phases[1:]]
        # Without a rate of the system there is none to hold the output's against.
        rate_hz: Any = self._rate_hz if rates_ok else getattr(outputs[0], "rate_hz", None)
        try:
            sound = adapter.checked(outputs[0], rate_hz)
        except Refused as refused:
            yield Outcome(False, phase, refused.failure.message)
            return
        yield Outcome(True, phase, f"{len(sound) / rate_hz:.2f} s of sound at {rate_hz} Hz")
        yield from stages
        peak = float(np.abs(sound).max())
        if not 0 < peak <= 1:
            text = "the sound is silent" if not peak else f"the peak is {peak:.3g}, full scale is 1"
            yield Outcome(None, "level", text)
        again, other = self._try("seeds", [seed]), self._try("seeds", [seed + 1])
        batch = self._try("batch", [seed, seed + 1])
        yield _judge_seeds(sound, again, other, rate_hz)
        yield _judge_batch([sound, other], batch, rate_hz)


def _judge_seeds(
    sound: np.ndarray, again: Outcome | list[Any], other: Outcome | list[Any], rate_hz: int
) -> Outcome:
    """Return whether one seed gives one sound, and whether another seed matters."""
    for outputs in (again, other):
        if isinstance(outputs, Outcome):
            return outputs
    try:
        same, different = (adapter.checked(each[0], rate_hz) for each in (again, other))
    except Refused as refused:
        return Outcome(False, "seeds", f"called again, {refused.failure.message}")
    if not _is_same(sound, same):
        text = "the same seed gave another sound; draw all noise for clip i from seeds[i] alone"
        return Outcome(False, "seeds", text)
    if _is_same(sound, different):
        return Outcome(None, "seeds", "the same sound for the same seed, and for another seed too")
    return Outcome(True, "seeds", "the same sound for the same seed, another for another")


def _judge_batch(single: Sequence[Any], batch: Outcome | list[Any], rate_hz: int) -> Outcome:
    """Return whether a batch of two gives the sounds of two single calls.

    Only an offline suite asks for batches: what goes wrong here is no fault.
    """
    hint = "only suites with batch_size above 1 need it"
    if isinstance(batch, Outcome):
        return Outcome(None, "batch", f"two at once: {batch.text}; {hint}")
    first, other = single
    if isinstance(other, Outcome):
        return Outcome(None, "batch", "not compared")
    try:
        sounds = [adapter.checked(each, rate_hz) for each in batch]
        alone = [first, adapter.checked(other[0], rate_hz)]
    except Refused as refused:
        return Outcome(None, "batch", f"two at once: {refused.failure.message}; {hint}")
    if all(_is_same(a, b) for a, b in zip(alone, sounds, strict=True)):
        return Outcome(True, "batch", "two at once sound as they do alone")
    return Outcome(None, "batch", f"two at once sound otherwise than alone; {hint}")


def _is_same(sound: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two sounds are equal to SAME of the first one's peak."""
    if sound.shape != other.shape:
        return False
    peak = float(np.abs(sound).max())
    return bool(np.abs(sound - other).max() <= SAME * peak)
