"""The same samples on every processor: run under `python -m tests.isa` as well.

Families whose samples are the same bytes use additions, multiplications, divisions, square roots
and table look-ups alone: their float32 bytes are pinned. Those that filter compute in float64,
where another order of a sum changes a value by some 1e-16 of it. Their samples are compared as
16-bit integers with what is pinned: with 24,000 of them the chance that one lies within 1e-11 of a
step of a boundary between two integers, and so is rounded the other way elsewhere, is below 1e-6.
Half a step is the bar.
"""

import hashlib

import numpy as np
import pytest

from stabench.harness.datasets.conditions.condition import Speech, parse_condition, to_int16
from tests.harness.datasets.conditions.speech_like import NAMES, hear, talk

CODECS = {"gsm", "opus", "vorbis", "mp3"}
PINNED = {
    "noise10": "1e2eb19d44fa503c",
    "babble5": "0d11fd7e5dc452f5",
    "telephone": "3dde78681a016dab",
    "narrowband": "b36c576daf439192",
    "mulaw": "9e71d0c86c3b69cb",
    "alaw": "b7aff2ebe75e364c",
    "clip10": "61a826eddb54f455",
    "loss10": "f07d92e0136ac1da",
    "loss10-repeat": "44c895b9d3892dd2",
    "loss10-bursty": "07965823f98c70b1",
    "loss10-bursty-repeat": "2448cdb0ef716114",
    "jitter60": "12f82e60f9d2ad2e",
    "reverb300": "de9a44ae5dbeecc2",
    "slow": "a5d39abb9693bace",
    "fast": "a4c1e061f7fab4f5",
    "telephone+noise10": "0142f83a6bc5c1f1",
    "noise10+telephone": "5a401a17b60bbe08",
}


def digest(name: str) -> str:
    samples = hear(name).samples
    exact = all(part.family.same == "bytes" for part in parse_condition(name).parts)
    data = samples.astype("<f4") if exact else to_int16(samples).astype("<i2")
    return hashlib.sha256(data.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CODECS])
def test_samples_are_those_that_are_pinned(name: str) -> None:
    assert digest(name) == PINNED[name]


def test_what_filters_is_far_from_the_bar_when_its_arithmetic_is_moved() -> None:
    """A relative change of 1e-13, a thousand times what an order of sums does, moves no sample."""
    speech = talk()
    jolt = 1 + 1e-13 * np.random.default_rng(0).uniform(-1, 1, len(speech.samples))
    for name in ("narrowband", "reverb300", "slow", "fast"):
        moved = hear(name, Speech(speech.samples * jolt, speech.rate_hz)).samples
        steps = (moved.astype(float) - hear(name).samples) * 32_768
        assert np.abs(steps).max() < 0.5
