"""Noise: white noise, and the babble of other people, at a ratio to the speech that is reached."""

import math
from decimal import Decimal
from itertools import islice

import numpy as np

from stabench.harness.datasets.conditions.condition import (
    ConditionError,
    Family,
    Heard,
    Number,
    Setting,
    Speech,
    Surroundings,
    find_active,
    measure_power,
)
from stabench.harness.datasets.conditions.telephone import change_rate

# People in a babble; with fewer than two it is one person who talks over another.
TALKERS, FEWEST = 4, 2
# So many uniform numbers, minus half as many, have variance 1 and are all but Gaussian
# (Irwin-Hall); additions are the same on every processor, logarithms are not.
SUMMED = 12
RATIO = Number(-20, 60, "dB")
SNR = {
    "snr_db": "power of the speech over that of the noise, in dB, both over the frames that hold "
    "speech"
}


def add_white(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return the speech with white noise at a signal-to-noise ratio of `setting.number` dB."""
    noise = np.full(len(speech.samples), -SUMMED / 2)
    for _ in range(SUMMED):
        noise += near.generator.random(len(noise))
    return mix(speech, noise, setting.number)


def add_babble(speech: Speech, setting: Setting, near: Surroundings) -> Heard:
    """Return the speech with four other people who talk at once, equally loud.

    Each says what they say over and over, from a random place on. Raises ConditionError where the
    dataset has fewer than two clips of other captions that hold speech.
    """
    babble, talkers = np.zeros(len(speech.samples)), 0
    voices = near.voices() if find_active(speech).any() else iter(())
    for voice in islice(voices, TALKERS):
        samples = change_rate(voice.samples, voice.rate_hz, speech.rate_hz)
        start = int(near.generator.integers(len(samples)))
        active = find_active(Speech(samples, speech.rate_hz))
        level = math.sqrt(measure_power(samples[active]))
        babble += np.resize(np.roll(samples, -start), len(babble)) / level
        talkers += 1
    if talkers < FEWEST and find_active(speech).any():
        raise ConditionError(
            f"babble needs {FEWEST} other clips with other captions and speech in them, the "
            f"dataset has {talkers}; take a larger one, or noise"
        )
    return mix(speech, babble, setting.number)


def mix(speech: Speech, noise: np.ndarray, ratio_db: int) -> Heard:
    """Return speech + g noise, with 10 log10(P(speech) / P(g noise)) = `ratio_db`.

    Both powers are means of squares over the samples that are speech (`find_active`). Raises
    ConditionError without any, or where the noise is silent there.
    """
    active = find_active(speech)
    if not active.any():
        raise ConditionError(
            f"no frame holds speech, so that {ratio_db} dB below it means nothing; give other "
            "speech"
        )
    loud, soft = measure_power(speech.samples[active]), measure_power(noise[active])
    if not loud:
        raise ConditionError("nothing is left of the speech to add noise to; take a milder part")
    if not soft:
        raise ConditionError("the noise is silent wherever there is speech; take another seed")
    # A power of ten by decimal arithmetic: that of the C library depends on the processor.
    factor = float(Decimal(10) ** (Decimal(ratio_db) / 10))
    added = noise * math.sqrt(loud / (soft * factor))
    mixture = speech.samples + added
    left = measure_power((mixture - speech.samples)[active])
    return Heard(mixture, {"snr_db": 10 * math.log10(loud / left)})


WHITE = Family(
    "noise",
    "white noise, the speech N dB above it",
    add_white,
    number=RATIO,
    measures=SNR,
    same="bytes",
)
BABBLE = Family(
    "babble",
    "four other speakers of the dataset at once, the speech N dB above them",
    add_babble,
    number=RATIO,
    measures=SNR,
)
