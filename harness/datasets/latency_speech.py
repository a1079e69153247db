"""Speech for latency alone: noise with the pauses and lengths of captions that a voice reads.

What a recogniser or an encoder costs depends on how long the speech is and on how many tokens it
writes, so the lengths are those of real captions and the captions have as many words.

Lengths: words are counted in the first captions of AudioCaps' 975 test clips (`WORDS`, a count for
each number of words from 3), and the ten published speeches of STAR's page (VITS-LJS, 1.7 to 8.0 s,
mean 3.16 s) give duration = 0.53 s + 0.32 s x words by least squares (residual 0.29 s). Captions of
more than 23 words, 1.8 % of all, would last over 8 s and are left out: mean 3.8 s.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from stabench.checkpoints.cache import cache_folder
from stabench.harness import files
from stabench.harness.datasets.dataset import Clip, Dataset
from stabench.harness.errors import StabenchError
from stabench.metrics import audio

RATE_HZ = 16_000
FEWEST_WORDS = 3
WORDS = (44, 43, 71, 72, 100, 91, 79, 71, 71, 53, 47, 43, 24, 32, 29, 18, 17, 15, 13, 11, 13)
FIXED_S, WORD_S, SPREAD_S = 0.53, 0.32, 0.29
SHORTEST_S, LONGEST_S = 1.0, 8.0
SYLLABLES_PER_WORD = 1.5
PEAK = 0.5

_THINGS = ("dog", "bell", "door", "train", "bird", "clock", "river", "crowd", "motor", "kettle")
_VERBS = ("hums", "rings", "roars", "creaks", "rattles", "echoes", "clatters", "drones", "hisses")
# By their number of words, so that a caption can have exactly as many as it should.
_FILLERS = {
    1: ("loudly", "softly", "again", "nearby", "outside", "slowly", "faintly"),
    2: ("far away", "very quickly", "once more", "close by"),
    3: ("in the distance", "behind a wall", "near the road", "under the roof", "over the water"),
}
# By their number of words with those of the clause (three) that follows each.
_LINKS = {4: ("while", "as", "and"), 5: ("and then", "followed by")}


class Utterance(NamedTuple):
    """A caption of our own, and how long it lasts when it is read."""

    caption: str
    duration_s: float


def latency_speech(clips: int = 144, seed: int = 0) -> Dataset:
    """Return `clips` utterances at 16 kHz without references, rendered into the cache folder.

    The first clips of a longer list are not those of a shorter one: each list has the whole
    distribution. Raises StabenchError for fewer than 2 clips.
    """
    if clips < 2:
        raise StabenchError(f"latency-speech: clips is {clips}, allowed are 2 and more")
    listed = utterances(clips, seed)
    lines = "".join(f"{utterance.caption}\0{utterance.duration_s:.4f}\n" for utterance in listed)
    version = hashlib.sha256(f"{seed}\n{lines}".encode()).hexdigest()[:12]
    folder = cache_folder() / f"latency-speech-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    spoken = []
    for number, (text, duration_s) in enumerate(listed):
        name = f"utterance{number:04d}"
        path = folder / f"{name}.wav"
        if not path.is_file():
            syllables = max(1, round(len(text.split()) * SYLLABLES_PER_WORD))
            # A generator of its own for each clip: a file that is there already shifts no other.
            samples = speech_like(duration_s, syllables, np.random.default_rng([seed, number]))
            files.write_bytes(path, audio.encode(samples, RATE_HZ))
        spoken.append(Clip(id=name, caption=text, speech=path, reference=None))
    return Dataset("latency-speech", version, tuple(spoken))


def utterances(count: int, seed: int) -> list[Utterance]:
    """Return captions and durations; every `count` covers the distribution of lengths evenly."""
    rng = np.random.default_rng([seed, count])
    # One draw from each of `count` equal shares of the distribution, in any order.
    shares = (rng.permutation(count) + rng.random(count)) / count
    cumulated = np.cumsum(WORDS) / sum(WORDS)
    lengths = FEWEST_WORDS + np.searchsorted(cumulated, shares, side="right")
    noise = rng.normal(0, SPREAD_S, count)
    durations = np.clip(FIXED_S + WORD_S * lengths + noise, SHORTEST_S, LONGEST_S)
    return [
        Utterance(caption(int(words), rng), float(duration_s))
        for words, duration_s in zip(lengths, durations, strict=True)
    ]


def caption(words: int, rng: np.random.Generator) -> str:
    """Return a sentence of exactly `words` words (3 or more) from a small grammar."""
    parts = [_draw_clause(rng)]
    left = words - FEWEST_WORDS
    while left:
        size = min(left, int(rng.integers(3, 6)))
        if size in _LINKS:
            parts.append(f"{_pick_word(_LINKS[size], rng)} {_draw_clause(rng)}")
        else:
            parts.append(_pick_word(_FILLERS[size], rng))
        left -= size
    return " ".join(parts).capitalize()


def speech_like(duration_s: float, syllables: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise with the long-term spectrum of speech and a rise and fall for each syllable.

    Float32 [T] at 16 kHz: -9 dB an octave above 500 Hz, nothing below 80 Hz, peak 0.5.
    """
    count = round(duration_s * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    # Amplitudes fall by f^-1.5: 9 dB an octave.
    tilt = np.where(hz < 80, 0.0, np.minimum(1.0, (500 / np.maximum(hz, 1)) ** 1.5))
    # Syllables: half sines of unequal length and height, one after another.
    edges = np.cumsum(rng.uniform(0.6, 1.4, syllables))
    ends = np.round(edges / edges[-1] * count).astype(int)
    envelope = np.zeros(count)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        bump = np.sin(np.pi * (np.arange(end - start) + 0.5) / max(1, end - start))
        envelope[start:end] = rng.uniform(0.5, 1.0) * bump
    voiced = np.fft.irfft(spectrum * tilt, count) * envelope
    return (PEAK * voiced / np.abs(voiced).max()).astype(np.float32)


def _draw_clause(rng: np.random.Generator) -> str:
    return f"a {_pick_word(_THINGS, rng)} {_pick_word(_VERBS, rng)}"


def _pick_word(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
