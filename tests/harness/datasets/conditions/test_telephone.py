"""G.711 against libsndfile, the band of a line, an overloaded input."""

import io

import numpy as np
import pytest
import soundfile

from stabench.harness.datasets.conditions import telephone
from stabench.harness.datasets.conditions.condition import Speech, find_active, to_int16
from stabench.harness.datasets.conditions.telephone import change_rate
from tests.harness.datasets.conditions.speech_like import hear, talk

EVERY = np.arange(-32_768, 32_768).astype(np.int16)
BYTES = np.arange(256).astype(np.uint8)
LAWS = {
    "ULAW": (telephone.encode_mulaw, telephone.decode_mulaw),
    "ALAW": (telephone.encode_alaw, telephone.decode_alaw),
}


@pytest.mark.parametrize("law", LAWS)
def test_g711_is_libsndfile_s_on_every_input_and_every_byte(law: str) -> None:
    encode, decode = LAWS[law]
    file = io.BytesIO()
    soundfile.write(file, EVERY, 8_000, format="RAW", subtype=law)
    assert np.array_equal(encode(EVERY), np.frombuffer(file.getvalue(), np.uint8))
    theirs, _ = soundfile.read(
        io.BytesIO(BYTES.tobytes()),
        dtype="int16",
        format="RAW",
        subtype=law,
        channels=1,
        samplerate=8_000,
    )
    assert np.array_equal(decode(BYTES), theirs)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_companding_alone_keeps_the_rate_and_follows_the_speech(law: str) -> None:
    speech = talk(rate_hz=22_050)
    heard = hear(law, speech).samples
    encode, decode = LAWS["ULAW" if law == "mulaw" else "ALAW"]
    expected = decode(encode(to_int16(speech.samples)))
    assert np.array_equal(to_int16(heard), expected)
    active = find_active(speech)
    noise = heard[active] - speech.samples[active]
    # G.711 keeps about 38 dB over a wide range of levels.
    assert 10 * np.log10(np.mean(speech.samples[active] ** 2) / np.mean(noise**2)) > 33


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("name", ["narrowband", "telephone"])
def test_a_line_passes_what_is_below_4_khz_in_its_place(name: str, rate_hz: int) -> None:
    time_s = np.arange(rate_hz) / rate_hz
    # Under a window: what rings at an edge is no part of the band.
    window = np.sin(np.pi * time_s) ** 2
    low = 0.5 * window * np.sin(2 * np.pi * 1_000 * time_s)
    passed = hear(name, Speech(low, rate_hz)).samples
    assert len(passed) == len(low)
    assert np.abs(passed - low).max() < (0.002 if name == "narrowband" else 0.02)
    if rate_hz > 11_025:
        high = 0.5 * window * np.sin(2 * np.pi * 5_200 * time_s)
        left = hear(name, Speech(high, rate_hz)).samples
        assert np.std(left) < 0.002 * np.std(high)


def test_rates_that_have_no_common_divisor_are_refused() -> None:
    with pytest.raises(ValueError, match="common divisor is 1; give speech at a usual rate"):
        change_rate(np.zeros(10), 192_007, 8_000)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_an_overloaded_input_cuts_the_share_that_was_asked_for(percent: int) -> None:
    speech = Speech(np.random.default_rng(0).uniform(-0.9, 0.9, 16_000), 16_000)
    outcome = hear(f"clip{percent}", speech)
    active = find_active(speech)
    limit = np.abs(outcome.samples).max()
    cut = np.abs(speech.samples[active]) > limit * (1 + 1e-6)
    assert np.mean(cut) == pytest.approx(percent / 100, abs=1e-3)
    assert outcome.measured[0]["clipped_share"] == pytest.approx(np.mean(cut), abs=1e-9)
    kept = np.abs(speech.samples) <= limit
    assert np.array_equal(outcome.samples[kept], speech.samples[kept].astype(np.float32))
