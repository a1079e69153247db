"""Graded tones, a world of three events, and networks for it: good judges and bad ones."""

import hashlib

import numpy as np

from stabench.harness.judges.gradings import Damage, Gradings, Known, gain, low_pass, noise
from stabench.harness.scoring.examination import Thresholds
from stabench.metrics.audio import Audio
from stabench.metrics.contract import Features
from tests.harness.fake_run import PITCH_HZ, RATE_HZ, tone
from tests.harness.listeners import Listener, Matcher, Tagger, bands

HERE = __file__
EVENTS = tuple(PITCH_HZ)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 1.0)
THRESHOLDS = Thresholds(
    accuracy={"classes": 0.9, "windows": 0.9, "probe": 0.9, "captions": 0.9},
    dimensions=2,
    monotony=0.95,
    floor=0.2,
    agreement=0.8,
    ideal=0.8,
)


class Ear(Listener):
    """A good judge of tones for FAD: the spectrum of each tenth of a second up to 4 kHz."""

    rate_hz = 8_000

    def one(self, waveform: np.ndarray) -> Features:
        parts = np.array_split(waveform, 5)
        return Features(np.log([bands(part, 8) + 1e-3 for part in parts]).astype(np.float32))


class Classes(Tagger):
    """A good tagger: it stands for the event in whose third of the spectrum there is sound."""

    def one(self, waveform: np.ndarray) -> Features:
        logits = np.log(bands(waveform, 3) + 1e-3).astype(np.float32)
        return Features(np.log(bands(waveform, 8) + 1e-3).astype(np.float32)[None], logits)


class Words(Matcher):
    """A good CLAP."""

    rate_hz = 8_000


class OneAxis(Ear):
    """Hears how loud it is, and nothing else: all its features are one."""

    sha256 = hashlib.sha256(b"one axis").hexdigest()

    def one(self, waveform: np.ndarray) -> Features:
        return Features(np.tile(super().one(waveform).embeddings.mean(1, keepdims=True), 8))


class Guessing(Ear):
    """Hears nothing: its features are random numbers of the samples' digest."""

    sha256 = hashlib.sha256(b"guessing").hexdigest()

    def one(self, waveform: np.ndarray) -> Features:
        digest = hashlib.sha256(waveform.tobytes()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return Features(rng.standard_normal((5, 8)).astype(np.float32))


class Infinite(Ear):
    """Gives infinity for the loudest sounds."""

    sha256 = hashlib.sha256(b"infinite").hexdigest()

    def one(self, waveform: np.ndarray) -> Features:
        rows = super().one(waveform).embeddings
        return Features(rows * (np.inf if np.abs(waveform).max() > 2 else 1))


class Gone(Ear):
    """A network whose weights were never fetched."""

    @property
    def identity(self) -> str:
        raise FileNotFoundError("weights file /nowhere/model.safetensors is missing")


def known(index: int) -> Known:
    """Half a second of one or two of the three events."""
    rng = np.random.default_rng(index)
    events = tuple(rng.choice(EVENTS, size=1 + index % 2, replace=False))
    return Known(
        f"tone{index:03}",
        lambda: sound(events, index),
        events,
        f"a {' and a '.join(events)} tone",
        (events,),
    )


def sound(events: tuple[str, ...], index: int) -> Audio:
    """The tones of some events in a little noise."""
    return Audio(tone(events, np.random.default_rng(index), noise=0.002), RATE_HZ)


def drop(one: Known, share: float) -> Audio:
    """All events of that share of the clips are gone."""
    number = int(one.id.removeprefix("tone"))
    return sound((), number) if (5 * number) % 12 < share * 12 else one.audio()


def tones() -> Gradings:
    """A dozen tones to learn from, a dozen held out."""
    damages = (
        noise((-24, -18, -12, -6, 0, 6)),
        low_pass((3300, 2900, 2500, 2200, 1900, 1700)),
        Damage("dropped events", "of all events", SHARES, drop),
        gain((-6, -12, -18, -24, -30, -36)),
    )
    natives = frozenset(f"{HERE}:{name}" for name in ("Ear", "Classes", "Words"))
    train = tuple(known(index) for index in range(100, 112))
    test = tuple(known(index) for index in range(12))
    return Gradings("tones", "1", train, test, damages, natives, THRESHOLDS)
