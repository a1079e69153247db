"""A cascade is its halves in order: what is heard is what is sounded."""

import contextlib

import numpy as np
import pytest

from stabench.systems.asr.caption import CaptionAsr
from stabench.systems.cascade.cascade import Cascade
from stabench.systems.contract import Representation, Transcript, Utterance, Waveform

RATE_HZ = 8_000
SPEECH = Utterance("clip-1", np.zeros(1600, np.float32), 16_000, caption="a dog barks")


class Deaf:
    """A recogniser that hears the same words in everything."""

    speech_rate_hz = 16_000
    reads_caption = False

    def __init__(self) -> None:
        self.loaded: tuple = ()

    def load(self, device, dtype):
        self.loaded = (device, dtype)

    def transcribe(self, speech, spans):
        with spans("asr.decode"):
            return Transcript("rain falls", 2)

    def provenance(self):
        return {"words": 2}


class Letters:
    """A generator whose sound spells its text: one sample a letter, shifted by the seed."""

    sample_rate = RATE_HZ

    def __init__(self) -> None:
        self.loaded: tuple = ()

    def load(self, device, dtype):
        self.loaded = (device, dtype)

    def encode(self, text, spans):
        with spans("text_encoder"):
            return [ord(letter) for letter in text]

    def generate(self, contexts, seeds, spans):
        with spans("sampler"), spans("decoder"):
            rows = zip(contexts, seeds, strict=True)
            return [Waveform(np.array(c, np.float32) + s, RATE_HZ) for c, s in rows]

    def provenance(self):
        return {"letters": True}


def test_transcript_goes_into_the_generator_and_into_the_record(spans) -> None:
    cascade = Cascade(Deaf(), Letters())
    heard = cascade.represent(SPEECH, spans)
    assert heard == Representation([ord(c) for c in "rain falls"], "rain falls", 2)
    (sound,) = cascade.generate([heard], [3], spans)
    assert "".join(chr(int(x) - 3) for x in sound.samples) == "rain falls"
    assert sound.rate_hz == cascade.sample_rate == RATE_HZ
    assert spans.names == ["asr.decode", "text_encoder", "sampler", "decoder"]


def test_each_clip_keeps_its_own_seed_in_a_batch(spans) -> None:
    cascade = Cascade(CaptionAsr(), Letters())
    clips = [cascade.represent(SPEECH._replace(caption=text), spans) for text in ("ab", "cd")]
    sounds = cascade.generate(clips, [0, 10], spans)
    assert [sound.samples.tolist() for sound in sounds] == [[97, 98], [109, 110]]


def test_oracle_hears_the_caption_and_spends_no_stage_on_it(spans) -> None:
    oracle = Cascade(CaptionAsr(), Letters())
    assert oracle.represent(SPEECH, spans).text == "a dog barks"
    assert spans.names == ["text_encoder"]


def test_only_the_oracle_asks_for_captions() -> None:
    assert Cascade(CaptionAsr(), Letters()).reads_caption
    assert not Cascade(Deaf(), Letters()).reads_caption


def test_oracle_without_a_caption_says_which_clip(spans) -> None:
    with pytest.raises(ValueError, match="clip 'clip-1': the oracle needs a caption"):
        Cascade(CaptionAsr(), Letters()).represent(SPEECH._replace(caption=None), spans)


def test_both_halves_are_loaded_and_described() -> None:
    cascade = Cascade(Deaf(), Letters())
    cascade.load("cpu", "float32")
    assert cascade.asr.loaded == cascade.tta.loaded == ("cpu", "float32")
    assert cascade.provenance() == {"asr": {"words": 2}, "tta": {"letters": True}}


class Graphs:
    """What a half that replays graphs, or loads its generator late, adds."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    @contextlib.contextmanager
    def eager(self):
        self.log.append("eager")
        try:
            yield
        finally:
            self.log.append("graphs")

    def load_generator(self) -> None:
        self.log.append("generator")


class GraphedDeaf(Graphs, Deaf):
    pass


class GraphedLetters(Graphs, Letters):
    pass


def test_eager_is_handed_to_the_halves_that_know_it() -> None:
    for asr, tta in ((GraphedDeaf(), Letters()), (Deaf(), GraphedLetters())):
        (half,) = (one for one in (asr, tta) if isinstance(one, Graphs))
        with contextlib.suppress(ZeroDivisionError), Cascade(asr, tta).eager():
            assert half.log == ["eager"]
            raise ZeroDivisionError
        assert half.log == ["eager", "graphs"]
    with Cascade(Deaf(), Letters()).eager():
        pass


def test_only_a_generator_that_was_left_out_is_loaded_later() -> None:
    cascade = Cascade(GraphedDeaf(), GraphedLetters())
    cascade.load_generator()
    assert (cascade.asr.log, cascade.tta.log) == ([], ["generator"])
    Cascade(Deaf(), Letters()).load_generator()
