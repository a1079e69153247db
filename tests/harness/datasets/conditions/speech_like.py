"""Sound that has what speech has, made of operations that are exact on every processor."""

from collections.abc import Callable, Iterator

import numpy as np

from stabench.harness.datasets.conditions.condition import Outcome, Speech, apply, parse_condition

RATE_HZ = 16_000
# Every built-in family, at one number at least; options and compositions too.
NAMES = (
    "noise10",
    "babble5",
    "telephone",
    "narrowband",
    "mulaw",
    "alaw",
    "clip10",
    "loss10",
    "loss10-repeat",
    "loss10-bursty",
    "loss10-bursty-repeat",
    "jitter60",
    "reverb300",
    "slow",
    "fast",
    "gsm",
    "opus",
    "vorbis",
    "mp3",
    "telephone+noise10",
    "noise10+telephone",
)


def talk(
    seconds: float = 1.5, rate_hz: int = RATE_HZ, pitch_hz: int = 125, level: float = 0.3
) -> Speech:
    """Syllables of a sawtooth, each 180 ms of 300, with 100 ms of silence before the first."""
    time = np.arange(round(seconds * rate_hz))
    period = rate_hz // pitch_hz
    wave = (time % period) / period - 0.5
    place = (time - rate_hz // 10) % (rate_hz * 3 // 10)
    loud = (place < rate_hz * 18 // 100) & (time >= rate_hz // 10)
    return Speech(np.where(loud, 2 * level * wave, 0.0), rate_hz)


def crowd(rate_hz: int = RATE_HZ) -> Callable[[np.random.Generator], Iterator[Speech]]:
    """Five other people, at pitches of their own."""
    people = [talk(1.0 + 0.1 * n, rate_hz, 100 + 20 * n, 0.1 + 0.05 * n) for n in range(5)]
    return lambda generator: (people[n] for n in generator.permutation(5).tolist())


def hear(name: str, speech: Speech | None = None, seed: int = 0, clip: str = "clip") -> Outcome:
    """The speech under a condition, with the crowd around it."""
    speech = speech or talk()
    voices = crowd(speech.rate_hz)
    return apply(parse_condition(name), speech, seed=seed, clip=clip, voices=voices)
