"""The published cascades: composed from plain tables, and honest when they are untrained."""

import json
import sys
import types

import numpy as np
import pytest

from stabench.systems.asr.caption import CaptionAsr
from stabench.systems.cascade import compose, registry
from stabench.systems.cascade.cascade import Cascade
from stabench.systems.contract import Transcript, Utterance, Waveform

SPEECH = Utterance("clip-1", np.zeros(1600, np.float32), 16_000, caption="a dog barks")
NAMES = list(compose.PARTS["tta"])


class Whisper:
    """A recogniser that mumbles when it is untrained."""

    speech_rate_hz = 16_000
    reads_caption = False

    def __init__(
        self, model="base", variant="stock", weights="published", language="en", tokens=None
    ):
        self.options = {"model": model, "variant": variant, "weights": weights}

    def load(self, device, dtype):
        self.place = (device, dtype)

    def transcribe(self, speech, spans):
        with spans("asr.decode"):
            return Transcript("xq zz xq zz xq", 5)

    def provenance(self):
        return self.options


class FasterWhisper(Whisper):
    def __init__(self, model="base", weights="published"):
        super().__init__(model, "ctranslate2", weights)


class Generator:
    """A generator that keeps the texts it was given."""

    sample_rate = 16_000

    def __init__(self, size="base", candidates=1, weights="published"):
        self.options = {"size": size, "candidates": candidates, "weights": weights}
        self.texts = []

    def load(self, device, dtype):
        self.place = (device, dtype)

    def encode(self, text, spans):
        self.texts.append(text)
        with spans("text_encoder.cond"):
            return text

    def generate(self, contexts, seeds, spans):
        return [Waveform(np.full(3, seed, np.float32), 16_000) for seed in seeds]

    def provenance(self):
        return self.options


@pytest.fixture
def stand_ins(monkeypatch):
    """The recognisers and generators above in place of the real ones."""
    module = types.ModuleType("stand_ins")
    module.Whisper, module.FasterWhisper, module.Generator = Whisper, FasterWhisper, Generator
    monkeypatch.setitem(sys.modules, "stand_ins", module)
    engines = {"whisper": "stand_ins:Whisper", "faster-whisper": "stand_ins:FasterWhisper"}
    caption = {"caption": compose.PARTS["asr"]["caption"]}
    monkeypatch.setitem(compose.PARTS, "asr", {**engines, **caption})
    monkeypatch.setitem(compose.PARTS, "tta", dict.fromkeys(NAMES, "stand_ins:Generator"))


def heard(name: str, **options) -> Cascade:
    """The factory as a suite calls it: by name, with JSON."""
    return getattr(registry, f"whisper_{name.replace('-', '_')}")(**json.loads(json.dumps(options)))


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_has_a_cascade_and_an_oracle(stand_ins, name: str, spans) -> None:
    cascade = heard(name)
    assert type(cascade) is Cascade
    assert cascade.represent(SPEECH, spans).text == "xq zz xq zz xq"
    assert cascade.tta.texts == ["xq zz xq zz xq"]
    assert not cascade.reads_caption
    oracle = getattr(registry, f"oracle_{name.replace('-', '_')}")(
        tta={"candidates": 3}, weights="random"
    )
    assert isinstance(oracle.asr, CaptionAsr)
    assert oracle.represent(SPEECH, spans).text == "a dog barks"
    assert oracle.tta.options == {"size": "base", "candidates": 3, "weights": "random"}


def test_tables_reach_their_halves_and_weights_reach_both(stand_ins) -> None:
    cascade = heard(
        "audioldm2",
        asr={"model": "large-v3", "variant": "half"},
        tta={"size": "large", "candidates": 3},
        weights="random",
    )
    assert cascade.provenance() == {
        "asr": {"model": "large-v3", "variant": "half", "weights": "random"},
        "tta": {"size": "large", "candidates": 3, "weights": "random"},
        "text": "the true caption, after an untrained recogniser",
    }
    cascade.load("cpu", "float32")
    assert cascade.asr.place == cascade.tta.place == ("cpu", "float32")


def test_a_table_may_have_weights_of_its_own(stand_ins, spans) -> None:
    cascade = heard("tango2", asr={"weights": "published"}, weights="random")
    assert cascade.asr.options["weights"] == "published"
    assert cascade.tta.options["weights"] == "random"
    assert cascade.represent(SPEECH, spans).text == "xq zz xq zz xq"


def test_untrained_recogniser_is_timed_but_the_caption_is_sounded(stand_ins, spans) -> None:
    cascade = heard("audit", weights="random")
    assert cascade.reads_caption
    found = cascade.represent(SPEECH, spans)
    assert (found.text, found.tokens, found.payload) == (None, 5, "a dog barks")
    assert spans.names == ["asr.decode", "text_encoder.cond"]
    with pytest.raises(ValueError, match="clip 'clip-1': random weights need a caption"):
        cascade.represent(SPEECH._replace(caption=None), spans)


def test_a_folder_holds_each_under_its_name(stand_ins, tmp_path) -> None:
    (tmp_path / "whisper-small").mkdir()
    cascade = heard("ezaudio", asr={"model": "small"}, weights=str(tmp_path))
    assert cascade.asr.options["weights"] == str(tmp_path / "whisper-small")
    assert cascade.tta.options["weights"] == str(tmp_path)
    (tmp_path / "whisper-large-v3-turbo").mkdir()
    alias = heard("ezaudio", asr={"model": "turbo"}, weights=str(tmp_path))
    assert alias.asr.options["weights"] == str(tmp_path / "whisper-large-v3-turbo")
    other = heard("ezaudio", weights=str(tmp_path))
    assert other.asr.options["weights"] == str(tmp_path)


def test_engine_is_an_option_of_the_recogniser(stand_ins) -> None:
    cascade = heard("audioldm2", asr={"engine": "faster-whisper", "model": "small"})
    assert isinstance(cascade.asr, FasterWhisper)
    assert cascade.asr.options["model"] == "small"
    with pytest.raises(
        ValueError, match="asr: unknown engine 'faster'; did you mean 'faster-whisper'"
    ):
        heard("audioldm2", asr={"engine": "faster"})


def test_unknown_options_get_the_nearest_name(stand_ins) -> None:
    with pytest.raises(ValueError, match="asr: unknown option 'varient'; did you mean 'variant'"):
        heard("audioldm2", asr={"varient": "half"})
    with pytest.raises(ValueError, match="tta: unknown option 'candidate'; did you mean"):
        heard("audioldm2", tta={"candidate": 3})
    with pytest.raises(ValueError, match="tta is 'large', expected a table"):
        heard("audioldm2", tta="large")


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_is_there_and_takes_weights(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown option 'no such'.* Known: .*\bweights\b"):
        getattr(registry, f"oracle_{name.replace('-', '_')}")(tta={"no such": 1})


@pytest.mark.parametrize("engine", registry.ENGINES)
def test_every_engine_is_there_and_takes_weights(engine: str) -> None:
    with pytest.raises(ValueError, match=r"unknown option 'no such'.* Known: .*\bweights\b"):
        registry.whisper_tango2(asr={"engine": engine, "no such": 1})


def test_an_oracle_of_the_real_generator_runs(tmp_path, spans, monkeypatch) -> None:
    from tests.systems.tta import tiny_audioldm2

    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path / "cache"))
    tiny_audioldm2.build(tmp_path / "audioldm2")
    options = {"steps": 2, "duration_s": 1.28}
    oracle = registry.oracle_audioldm2(tta=options, weights=str(tmp_path))
    oracle.load("cpu", "float32")
    (clip,) = oracle.generate([oracle.represent(SPEECH, spans)], [1], spans)
    assert clip.samples.shape == (20_480,)
    assert set(oracle.provenance()["tta"]["weights"]) >= {"unet", "vae", "vocoder"}
