"""Codecs of libsndfile: length and place of the speech, and what is said where one is not there."""

import numpy as np
import pytest
import soundfile

from stabench.harness.datasets.conditions.condition import find_active
from stabench.harness.errors import MissingError
from tests.harness.datasets.conditions.speech_like import hear, talk

CODECS = ("gsm", "opus", "vorbis", "mp3")


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("rate_hz", [16_000, 22_050])
def test_speech_comes_back_in_its_place_at_its_length(name: str, rate_hz: int) -> None:
    speech = talk(rate_hz=rate_hz)
    outcome = hear(name, speech)
    heard = outcome.samples.astype(float)
    assert len(heard) == len(speech.samples)
    lags = range(-40, 41)
    likeness = [float(np.dot(np.roll(speech.samples, lag), heard)) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 2
    active = find_active(speech)
    assert np.corrcoef(heard[active], speech.samples[active])[0, 1] > 0.8
    assert 8 < outcome.measured[0]["kbit_s"] < 90


def test_a_codec_that_is_not_there_is_missing_in_one_line(monkeypatch) -> None:
    monkeypatch.setattr(soundfile, "available_subtypes", lambda _format: {})
    with pytest.raises(MissingError, match=r"writes no OPUS; install a newer soundfile, or leave"):
        hear("opus")
