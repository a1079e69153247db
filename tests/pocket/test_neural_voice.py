"""The neural voice: its spelling and its arithmetic without the network, then what it says."""

# ruff: noqa: RUF001 (phonetic letters look like others)

from importlib.util import find_spec

import numpy as np
import pytest

from stabench.checkpoints import store
from stabench.pocket import neural_voice
from stabench.pocket.neural_voice import FRAME, HOP, NATIVE_HZ, Heard, pulses, respell, waveform

FRAMES = 40


def has_voice() -> bool:
    try:
        store.locate(neural_voice.WEIGHTS)
    except FileNotFoundError:
        return False
    return find_spec("onnxruntime") is not None


@pytest.mark.parametrize(
    ("ipa", "spelled"),
    [
        ("ɐ tʃˈaɪld ɹˈoʊz", "ɐ ʧˈIld ɹˈOz"),
        ("ɐn ˈoʊld dʒˈɔɪ", "ɐn ˈOld ʤˈY"),
        ("ɐplˈɔːz", "əplˈɔz"),
        ("bˈɜːdz tʃˈɜːpɪŋ", "bˈɜɹdz ʧˈɜɹpɪŋ"),
        ("vˈɪzɪɾɚ fˈoːɹ", "vˈɪzɪTəɹ fˈɔɹ"),
        ("sˈɔːɪŋ ɡˌoʊɪŋ kɹˈaɪɪŋ", "sˈɔɪŋ ɡˌOɪŋ kɹˈIɪŋ"),
    ],
)
def test_espeaks_phonemes_in_the_letters_of_the_voice(ipa, spelled):
    assert respell(ipa) == spelled


@pytest.mark.parametrize("pitch_hz", [50.0, 221.7, 400.0])
def test_pulses_are_the_sum_of_all_harmonics_below_11_khz(pitch_hz):
    time = (np.arange(FRAMES * HOP) + 1) / NATIVE_HZ
    harmonics = np.arange(1, int(11_000 / pitch_hz) + 1)
    expected = np.cos(2 * np.pi * pitch_hz * np.outer(time, harmonics)).sum(1)
    # The phase is a running sum of 12,000 steps; the error grows with the number of the harmonic.
    assert pulses(np.full(FRAMES, pitch_hz)) == pytest.approx(expected, abs=1e-6)


def test_pulses_are_silent_without_a_voice():
    assert not pulses(np.zeros(FRAMES)).any()
    half = pulses(np.repeat([0.0, 200.0], FRAMES // 2))
    assert not half[: FRAMES // 2 * HOP - HOP].any()
    assert half[FRAMES // 2 * HOP + HOP :].any()


def spectra(**given: np.ndarray) -> Heard:
    """Nothing is heard but what is given."""
    quiet = np.full((FRAME // 2 + 1, FRAMES), -100.0)
    parts = {"voice": quiet, "noise": quiet, "rest": quiet} | given
    phases = {"turn": 0 * quiet, "phase": 0 * quiet, "pitch_hz": np.full(FRAMES, 200.0)}
    return Heard(**(phases | parts))


def test_a_harmonic_is_as_loud_as_the_voice_says():
    """The first two harmonics of 200 Hz, in bins 10 and 20 of 20 Hz each; no other is heard."""
    voice = np.full((FRAME // 2 + 1, FRAMES), -100.0)
    # A cosine of size 1 peaks at a quarter of the frame in a spectrum under a Hann window.
    voice[8:13], voice[18:23] = np.log(0.5 * FRAME / 4), np.log(0.25 * FRAME / 4)
    samples = waveform(spectra(voice=voice), np.random.default_rng(0))
    assert len(samples) == FRAMES * HOP
    middle = samples[4 * HOP : -4 * HOP]
    time = (np.arange(len(samples))[4 * HOP : -4 * HOP] + 1) / NATIVE_HZ
    expected = 0.5 * np.cos(400 * np.pi * time) + 0.25 * np.cos(800 * np.pi * time)
    # The window spreads a harmonic over three bins, of which five are kept.
    assert middle == pytest.approx(expected, abs=2e-3)


def test_turned_by_half_a_period_it_has_the_other_sign():
    voice = np.zeros((FRAME // 2 + 1, FRAMES))
    plain = waveform(spectra(voice=voice), np.random.default_rng(0))
    turned = spectra(voice=voice)._replace(turn=np.full_like(voice, 20.0))
    assert waveform(turned, np.random.default_rng(0)) == pytest.approx(-plain, abs=1e-6)


def test_noise_is_drawn_from_the_generator():
    noise = np.zeros((FRAME // 2 + 1, FRAMES))
    first, same, other = (
        waveform(spectra(noise=noise), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)


@pytest.mark.skipif(not has_voice(), reason="hibari-tts is not installed (extra 'real')")
def test_a_caption_is_spoken_at_its_pace():
    voice = neural_voice.NeuralVoice().load()
    short, long = (
        voice.say(text, np.random.default_rng(0))
        for text in ("a dog barks", "a dog barks and then a bell rings twice")
    )
    assert 0.8 < len(short) / NATIVE_HZ < 2.5
    assert len(short) * 1.5 < len(long)
    assert 0.05 < np.abs(short).max() < 2
    assert np.array_equal(short, voice.say("a dog barks", np.random.default_rng(0)))
    with pytest.raises(ValueError, match="the neural voice has no"):
        voice.say("", np.random.default_rng(0))
