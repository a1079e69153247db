"""PocketSphinx as a recogniser: it hears the domain, and one clip leaves no trace in the next."""

import hashlib
from pathlib import Path

import jiwer
import numpy as np
import pytest

from stabench.metrics.resample import resample
from stabench.pocket import language_model as lm
from stabench.pocket import speech
from stabench.systems.asr.pocketsphinx import FULL_SCALE, PocketSphinx, to_int16
from stabench.systems.contract import Utterance

CAPTIONS = [
    "a dog barks",
    "a dog barks while rain falls",
    "rain falls and a bell rings",
    "a bell rings",
]
PRONUNCIATIONS = """\
a AH
a(2) EY
and AH N D
and(2) AE N D
barks B AA R K S
bell B EH L
dog D AO G
falls F AO L Z
rain R EY N
rings R IH NG Z
while W AY L
"""


def spoken(text: str, clip_id: str = "clip") -> Utterance:
    voice = speech.Voice("en-us", rate=150, pitch=45)
    said = speech.say(text, voice)
    samples = 0.5 * resample(said.samples, said.rate_hz, 16_000)
    return Utterance(clip_id, samples.astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """A language model of four captions and their words, in PocketSphinx's formats."""
    folder = tmp_path_factory.mktemp("asr")
    arpa, words = folder / "four.arpa", folder / "four.dict"
    arpa.write_text(lm.to_arpa(lm.estimate(lm.count(CAPTIONS))))
    words.write_text(PRONUNCIATIONS)
    return arpa, words


@pytest.fixture(scope="module")
def recogniser(files) -> PocketSphinx:
    recogniser = PocketSphinx(*files)
    recogniser.load("cpu", "float32")
    return recogniser


def test_hears_sentences_of_its_domain(recogniser, spans) -> None:
    new = ["a dog barks and a bell rings", "rain falls while a bell rings", *CAPTIONS]
    heard = [recogniser.transcribe(spoken(text), spans) for text in new]
    assert jiwer.wer(new, [one.text for one in heard]) <= 0.1
    assert [one.tokens for one in heard] == [len(one.text.split()) for one in heard]
    assert spans.names == ["asr.decode"] * len(new)


def test_writes_words_of_its_dictionary_only(recogniser, spans) -> None:
    text = recogniser.transcribe(spoken("seven elephants dance"), spans).text
    assert set(text.split()) <= {word for caption in CAPTIONS for word in caption.split()}


def test_a_transcript_does_not_depend_on_what_was_heard_before(recogniser, files, spans) -> None:
    quiet = spoken("a dog barks while rain falls")
    quiet = quiet._replace(samples=0.02 * quiet.samples)
    clips = [quiet, spoken("a bell rings"), spoken("rain falls and a bell rings"), quiet]

    def score(clip: Utterance, ears: PocketSphinx = recogniser) -> tuple[str, float]:
        """The text and its likelihood, which moves long before the text does."""
        return ears.transcribe(clip, spans).text, ears._decoder.hyp().score

    forward = [score(clip) for clip in clips]
    assert [score(clip) for clip in clips[::-1]][::-1] == forward
    fresh = PocketSphinx(*files)
    fresh.load("cpu", "float32")
    assert score(clips[2], fresh) == forward[2]


@pytest.mark.parametrize("samples", [0, 1, 200, 16_000])
def test_silence_of_any_length_is_a_transcript_too(recogniser, spans, samples: int) -> None:
    clip = Utterance("silence", np.zeros(samples, np.float32), 16_000)
    heard = recogniser.transcribe(clip, spans)
    assert heard.tokens == len(heard.text.split())


def test_general_english_is_in_the_wheel(spans) -> None:
    recogniser = PocketSphinx()
    recogniser.load("cpu", "float32")
    assert "rain" in recogniser.transcribe(spoken("heavy rain is falling in the city"), spans).text
    assert recogniser.provenance()["lm"] == "wheel"


def test_provenance_names_the_files_by_content(recogniser, files) -> None:
    said = recogniser.provenance()
    assert said["lm"] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert said["dictionary"] == hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert said["noise_floor_rms"] == 1e-3


def test_errors_say_what_and_where(recogniser, files, spans) -> None:
    missing = files[0].with_name("missing.arpa")
    with pytest.raises(FileNotFoundError, match=r"missing\.arpa: no such file"):
        PocketSphinx(missing).load("cpu", "float32")
    with pytest.raises(RuntimeError, match="not loaded"):
        PocketSphinx(*files).transcribe(spoken("rain"), spans)
    with pytest.raises(ValueError, match="clip 'clip': speech is 22050 Hz, expected 16000 Hz"):
        recogniser.transcribe(spoken("rain")._replace(rate_hz=22_050), spans)
    with pytest.raises(ValueError, match=r"noise_floor_rms is 2, allowed are 0 to 0\.1"):
        PocketSphinx(noise_floor_rms=2)


def test_noise_floor_has_its_level_and_comes_from_the_content() -> None:
    silence = np.zeros(160_000, np.float32)
    noise = to_int16(silence, 1e-3).astype(np.float64) / FULL_SCALE
    assert noise.std() == pytest.approx(1e-3, rel=0.02)
    assert abs(noise.mean()) < 2e-5
    assert np.array_equal(to_int16(silence, 1e-3), to_int16(silence.copy(), 1e-3))
    other = to_int16(silence[:-1], 1e-3) / FULL_SCALE
    assert abs(np.corrcoef(noise[:-1], other)[0, 1]) < 0.02


def test_conversion_rounds_and_never_wraps_around() -> None:
    samples = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.4 / FULL_SCALE], np.float32)
    assert to_int16(samples, 0.0).tolist() == [0, 16384, -16384, 32767, -32768, 1]
    loud = np.full(1000, 1.0, np.float32)
    assert to_int16(loud, 0.05).min() > 0
