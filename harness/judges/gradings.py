"""Graded sounds: what is in them is known, and they can be damaged step by step.

A world that can make such sounds registers them under `stabench.gradings`: a function without
arguments that returns `Gradings`. A judge is examined on them (harness/judges/judges.py).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stabench.harness import registry
from stabench.harness.errors import StabenchError
from stabench.harness.scoring.examination import Thresholds
from stabench.metrics.audio import Audio

# Fewest levels of a damage: a rank correlation over fewer proves little.
LEVELS = 6
# Sounds of each kind below which nothing can be calculated; a real examination has a hundred.
FEWEST = 4
# Of the low-pass filter: Butterworth's magnitude, 48 dB an octave, without a shift of phase.
ORDER = 8


class Known(NamedTuple):
    """One sound whose content is known: its events, and a caption that is true of it.

    `steps` are the events that sound together, step after step in time, where that is known.
    """

    id: str
    audio: Callable[[], Audio]
    labels: tuple[str, ...]
    caption: str
    steps: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Damage:
    """One kind of damage: `apply(sound, level)` for `levels` from mild to severe, in `unit`.

    Each level must hold all of the one before and more.
    """

    kind: str
    unit: str
    levels: tuple[float, ...]
    apply: Callable[[Known, float], Audio]


@dataclass(frozen=True)
class Gradings:
    """Sounds of one world: `train` for a linear probe, `test` held out, `damages` and their number.

    Damages are done to the first `damaged` sounds of `test`, to all of them where it is None.
    `natives` are the embedders that were trained on sounds of this world; they must reach
    `thresholds`, where other networks must reach those of harness/scoring/examination.py. Raises
    StabenchError for gradings that could not examine a network.
    """

    name: str
    version: str
    train: tuple[Known, ...]
    test: tuple[Known, ...]
    damages: tuple[Damage, ...]
    natives: frozenset[str]
    thresholds: Thresholds
    damaged: int | None = None

    def __post_init__(self) -> None:
        ids = [known.id for known in (*self.train, *self.test)]
        kinds = [damage.kind for damage in self.damages]
        for what, names in (("sound", ids), ("damage", kinds)):
            for name in names:
                if names.count(name) > 1:
                    raise StabenchError(f"gradings '{self.name}': {what} '{name}' is there twice")
        for damage in self.damages:
            if len(damage.levels) < LEVELS:
                raise StabenchError(
                    f"gradings '{self.name}': damage '{damage.kind}' has {len(damage.levels)} "
                    f"levels, at least {LEVELS} are needed"
                )
        counts = (len(self.train), len(self.test), len(self.to_damage))
        if not self.damages or min(counts) < FEWEST:
            raise StabenchError(
                f"gradings '{self.name}': {counts[0]} sounds to learn from, {counts[1]} held out, "
                f"{counts[2]} of them for {len(self.damages)} damages; at least {FEWEST} of each "
                "and 1 damage are needed"
            )

    @property
    def to_damage(self) -> tuple[Known, ...]:
        """The held-out sounds that are also damaged."""
        return self.test[: self.damaged]

    @property
    def title(self) -> str:
        """What the sounds are, in a few words."""
        counts = f"{len(self.train)} + {len(self.test)} sounds, {len(self.to_damage)} damaged"
        return f"{self.name} {self.version}, {counts}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Every event of the sounds, sorted."""
        return tuple(sorted({label for known in self.test for label in known.labels}))


def load(name: str) -> Gradings:
    """Return registered gradings by name, or those of a "path.py:function".

    Raises StabenchError for a name that is not known, MissingError for a module that is not there.
    """
    gradings: Gradings = registry.load("gradings", name)()
    return gradings


def noise(levels: tuple[float, ...]) -> Damage:
    """Return white Gaussian noise under each sound; a level is noise minus signal in dB of the rms.

    The same noise at every level, only louder.
    """

    def apply(known: Known, level: float) -> Audio:
        samples, rate_hz = known.audio()
        # From the sound's id alone: every level has the same noise, only louder.
        white = _seed_generator(known.id).standard_normal(samples.shape)
        scale = np.sqrt(np.mean(np.square(samples, dtype=np.float64))) * 10 ** (level / 20)
        return Audio((samples + scale * white).astype(np.float32), rate_hz)

    return Damage("noise", "dB over the sound", levels, apply)


def low_pass(levels: tuple[float, ...]) -> Damage:
    """Return a damage that takes away all above a frequency; a level is the cut-off in Hz."""

    def apply(known: Known, level: float) -> Audio:
        samples, rate_hz = known.audio()
        frequency = np.fft.rfftfreq(len(samples), 1 / rate_hz)
        gain = 1 / np.sqrt(1 + (frequency / level) ** (2 * ORDER))
        filtered = np.fft.irfft(np.fft.rfft(samples, axis=0).T * gain, n=len(samples)).T
        return Audio(filtered.astype(np.float32), rate_hz)

    return Damage("low-pass", "Hz", levels, apply)


def gain(levels: tuple[float, ...]) -> Damage:
    """Return a damage that makes sounds quieter or louder; a level is in dB. Nothing is clipped."""
    return Damage("gain", "dB", levels, louder)


def louder(known: Known, level: float) -> Audio:
    """Return the sound `level` dB louder (below 0: quieter), not clipped."""
    samples, rate_hz = known.audio()
    return Audio((samples * 10 ** (level / 20)).astype(np.float32), rate_hz)


def white_noise(known: Known) -> Audio:
    """Return Gaussian noise of the sound's length, rate and rms in its place."""
    samples, rate_hz = known.audio()
    rms = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    noise_samples = _seed_generator(f"white {known.id}").standard_normal(samples.shape) * rms
    return Audio(noise_samples.astype(np.float32), rate_hz)


def _seed_generator(name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"gradings:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
