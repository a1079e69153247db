"""Speech for latency: lengths of real captions, sentences of our own, the same bytes again."""

from pathlib import Path

import numpy as np
import pytest

from stabench.harness.datasets.latency_speech import (
    FEWEST_WORDS,
    WORDS,
    caption,
    latency_speech,
    speech_like,
    utterances,
)
from stabench.harness.errors import StabenchError
from stabench.metrics.audio import decode


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))


def test_enough_utterances_for_p95_by_default() -> None:
    assert len(utterances(144, 0)) >= 130
    import inspect

    assert inspect.signature(latency_speech).parameters["clips"].default == 144


@pytest.mark.parametrize("count", [144, 1000])
def test_lengths_are_those_of_real_captions(count: int) -> None:
    listed = utterances(count, 0)
    words = np.array([len(one.caption.split()) for one in listed])
    seconds = np.array([one.duration_s for one in listed])
    numbers = np.arange(FEWEST_WORDS, FEWEST_WORDS + len(WORDS))
    mean = np.average(numbers, weights=WORDS)
    assert abs(words.mean() - mean) < 0.15
    assert seconds.min() >= 1
    assert seconds.max() <= 8
    assert abs(seconds.mean() - (0.53 + 0.32 * mean)) < 0.1
    share = np.array(WORDS) / sum(WORDS)
    drawn = np.array([(words == number).mean() for number in numbers])
    # One draw from each share: the cumulated shares are off by less than one draw.
    assert np.abs(np.cumsum(drawn) - np.cumsum(share)).max() < 1 / count + 1e-9


@pytest.mark.parametrize("words", range(3, 32))
def test_a_caption_has_exactly_its_words(words: int) -> None:
    text = caption(words, np.random.default_rng(words))
    assert len(text.split()) == words
    assert text[0].isupper()
    assert text[1:].replace(" ", "").isalpha()


def test_the_dataset_is_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = latency_speech(clips=6)
    before = [clip.speech.read_bytes() for clip in first.clips]
    assert latency_speech(clips=6) == first
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "elsewhere"))
    again = latency_speech(clips=6)
    assert [clip.speech.read_bytes() for clip in again.clips] == before
    assert again.version == first.version
    assert latency_speech(clips=6, seed=1).version != first.version
    assert latency_speech(clips=7).version != first.version
    with pytest.raises(StabenchError, match="clips is 1, allowed are 2 and more"):
        latency_speech(clips=1)


def test_files_last_as_long_as_they_say() -> None:
    dataset = latency_speech(clips=4)
    for clip, one in zip(dataset.clips, utterances(4, 0), strict=True):
        heard = decode(clip.speech)
        assert heard.rate_hz == 16_000
        assert len(heard.samples) == round(one.duration_s * 16_000)
        assert clip.caption == one.caption
        assert clip.reference is None


def test_the_sound_has_the_spectrum_and_the_rhythm_of_speech() -> None:
    samples = speech_like(4.0, 16, np.random.default_rng(0))
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.5)
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    octave = [power[(hz > low) & (hz < 2 * low)].mean() for low in (1000, 2000)]
    assert 10 * np.log10(octave[0] / octave[1]) == pytest.approx(9, abs=1)
    envelope = np.abs(samples).reshape(-1, 160).mean(axis=1)
    rhythm = np.abs(np.fft.rfft(envelope - envelope.mean()))
    peak_hz = np.fft.rfftfreq(len(envelope), 0.01)[rhythm.argmax()]
    assert 2 < peak_hz < 7
