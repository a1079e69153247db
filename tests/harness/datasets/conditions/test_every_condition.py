"""Every condition on odd speech: a result or a reason, and time that runs forward."""

import numpy as np
import pytest

from stabench.harness.datasets.conditions.condition import ConditionError, Speech
from tests.harness.datasets.conditions.speech_like import NAMES, RATE_HZ, hear, talk

ODD = {
    "silent": Speech(np.zeros(RATE_HZ), RATE_HZ),
    "a twentieth of a second": Speech(talk().samples[1_600:2_400], RATE_HZ),
    "one sample": Speech(np.array([0.25]), RATE_HZ),
    "noise alone": Speech(np.random.default_rng(0).uniform(-1, 1, RATE_HZ), RATE_HZ),
    "a minute": talk(60.0),
    "full scale": Speech(np.sign(talk().samples), RATE_HZ),
}
# What has no answer: no level of a noise is 10 dB below silence.
REFUSED = {("silent", "noise10"), ("silent", "babble5")}
REFUSED |= {("silent", name) for name in ("telephone+noise10", "noise10+telephone")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ODD)
def test_odd_speech_gives_a_result_or_a_reason(kind: str, name: str) -> None:
    speech = ODD[kind]
    if (kind, name) in REFUSED:
        with pytest.raises(ConditionError, match="no frame holds speech"):
            hear(name, speech)
        return
    outcome = hear(name, speech)
    assert outcome.samples.dtype == np.float32
    assert np.isfinite(outcome.samples).all()
    assert np.abs(outcome.samples).max() <= 1
    assert len(outcome.samples) >= 1
    assert np.isfinite([value for part in outcome.measured for value in part.values()]).all()
    length_s = len(speech.samples) / RATE_HZ
    moved = [outcome.move(length_s * tenth / 10) for tenth in range(11)]
    assert moved == sorted(moved)
    assert moved[-1] <= len(outcome.samples) / RATE_HZ + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_samples(name: str) -> None:
    assert np.array_equal(hear(name).samples, hear(name).samples)
