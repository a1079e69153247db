"""faster-whisper as a recogniser: the same weights converted write what openai-whisper writes."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("whisper", reason="openai-whisper is not installed")
pytest.importorskip("faster_whisper", reason="faster-whisper is not installed (extra 'fast')")

import torch

from stabench.systems.asr import faster_whisper, whisper_checkpoint
from stabench.systems.asr.faster_whisper import FasterWhisper, max_length
from stabench.systems.asr.whisper import Whisper, tokenizer
from stabench.systems.asr.whisper_ctranslate2 import write
from stabench.systems.asr.whisper_sizes import CANTONESE
from stabench.systems.contract import Utterance
from tests.systems.asr import tiny_whisper
from tests.systems.asr.tiny_whisper import TINY, utterance

WIDE = TINY._replace(n_mels=128, n_vocab=CANTONESE)
SPEECH = [utterance(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_whisper.write(tmp_path_factory.mktemp("whisper") / "base.pt")


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    """The tiny checkpoint in CTranslate2's format."""
    folder = tmp_path_factory.mktemp("ctranslate2")
    loaded = whisper_checkpoint.load("base", checkpoint, "cpu")
    write(folder, loaded.network, tokenizer(loaded.dims, "en"))
    return folder


@pytest.fixture(scope="module")
def fast(folder):
    recogniser = FasterWhisper("base", folder)
    recogniser.load("cpu", "float32")
    return recogniser


@pytest.fixture
def converts_nothing(monkeypatch, folder):
    """Random weights are the tiny ones, already converted."""
    network = whisper_checkpoint.hollow(TINY)
    loaded = whisper_checkpoint.Loaded(network, TINY, "random")
    monkeypatch.setattr(whisper_checkpoint, "load", lambda *given: loaded)
    monkeypatch.setattr(
        faster_whisper,
        "write",
        lambda at, *rest: shutil.copytree(folder, at, dirs_exist_ok=True),
    )


def test_writes_what_openai_whisper_writes_of_the_same_mel(fast, checkpoint):
    stock = Whisper("base", "stock", checkpoint)
    stock.load("cpu", "float32")
    for speech in SPEECH:
        with torch.inference_mode():
            mel = stock.engine.mel(speech.samples)
            expected = stock.engine.decode(stock.engine.encode(mel), TINY.longest)
        features = fast.engine.encode(mel[0].numpy())
        assert fast.engine.decode(features, None) == tuple(expected)


def test_its_mel_is_openai_whispers_where_there_is_speech(fast):
    import whisper

    samples = SPEECH[0].samples
    frames = len(samples) // 160
    ours = fast.engine.mel(samples)
    theirs = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples)).numpy()
    assert ours.shape == theirs.shape
    # The frames whose window reaches over the end see a mirror image there.
    assert np.abs(ours - theirs)[:, : frames - 2].max() < 2e-3
    assert not ours[:, frames + 1 :].any()


def test_stages_text_and_order(fast, spans):
    forward = [fast.transcribe(speech, spans) for speech in SPEECH]
    assert [fast.transcribe(one, spans) for one in SPEECH[::-1]][::-1] == forward
    assert spans.names == ["asr.mel", "asr.encode", "asr.decode"] * 8
    assert all(one.text == one.text.strip() for one in forward)


@pytest.mark.parametrize("samples", [0, 1, 16_000, 480_000])
def test_silence_of_any_length_is_a_transcript_too(fast, spans, samples):
    silence = Utterance("silence", np.zeros(samples, np.float32), 16_000)
    assert fast.transcribe(silence, spans).tokens is not None


def test_random_weights_write_exactly_so_many_tokens(converts_nothing, spans):
    for tokens in (1, 2, 3, 4, 12, 500):
        recogniser = FasterWhisper("base", "random", tokens=tokens)
        recogniser.load("cpu", "float32")
        heard = recogniser.transcribe(utterance(0, caption=None), spans)
        assert heard.tokens == min(tokens, 224)


def test_random_weights_take_their_length_from_the_caption(converts_nothing, spans):
    recogniser = FasterWhisper("base", "random")
    recogniser.load("cpu", "float32")
    assert recogniser.reads_caption
    heard = recogniser.transcribe(SPEECH[0], spans)
    assert heard.tokens == tiny_whisper.CAPTION_TOKENS
    assert heard.text != tiny_whisper.CAPTION
    assert recogniser.provenance()["weights"] == "random"


def test_a_checkpoint_of_openai_whisper_is_converted_while_loading(checkpoint, folder, spans, fast):
    recogniser = FasterWhisper("base", checkpoint)
    recogniser.load("cpu", "float32")
    assert recogniser.transcribe(SPEECH[0], spans) == fast.transcribe(SPEECH[0], spans)
    assert list(recogniser.provenance()["weights"]) == ["base.pt"]


def test_vocabulary_is_openai_whispers(fast):
    ours, theirs = fast.engine.whisper.hf_tokenizer, tokenizer(TINY, "en")
    text = " A dog's bark, 23 times -- then  rain (überall)."
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text)
    for word, i in theirs.special_tokens.items():
        assert ours.token_to_id(word) == i
    assert ours.get_vocab_size() == TINY.n_vocab


def test_max_length_for_a_number_of_new_tokens():
    for prompt in (2, 4):
        for wanted in range(1, 225):
            given = max_length(wanted, prompt)
            assert min(given // 2, given - prompt + 1) == wanted
            assert given <= 448


def published(folder, at, names: tuple[str, ...]):
    """The converted folder as others publish it: these files beside the weights."""
    at.mkdir()
    for name in {"model.bin", "config.json", "tokenizer.json", *names} - {"vocabulary.txt"}:
        shutil.copy(folder / name, at)
    if "vocabulary.txt" in names:
        words = json.loads((folder / "vocabulary.json").read_text())
        (at / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words))
    return at


@pytest.mark.parametrize(
    "names",
    [("vocabulary.txt",), ("vocabulary.json", "preprocessor_config.json")],
    ids=["Systran's up to large-v2", "Systran's large-v3"],
)
def test_published_layouts_are_read_as_they_are(fast, folder, spans, tmp_path, names):
    recogniser = FasterWhisper("base", published(folder, tmp_path / "here", names))
    recogniser.load("cpu", "float32")
    assert recogniser.transcribe(SPEECH[0], spans) == fast.transcribe(SPEECH[0], spans)


def test_128_mel_bands_ask_for_their_front_end(tmp_path):
    """Without the file faster-whisper computes 80 bands, and says nothing."""
    checkpoint = tiny_whisper.write(tmp_path / "base.pt", WIDE)
    loaded = whisper_checkpoint.load("base", checkpoint, "cpu")
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole, loaded.network, tokenizer(loaded.dims, "en"))
    FasterWhisper("base", whole).load("cpu", "float32")
    bare = published(whole, tmp_path / "bare", ("vocabulary.json",))
    with pytest.raises(ValueError, match=r"hears 128 mel bands, without preprocessor_config\.json"):
        FasterWhisper("base", bare).load("cpu", "float32")


def test_a_folder_of_ctranslate2_serves_openai_whispers_network_too(folder, checkpoint, spans):
    heard = []
    for weights in (folder, checkpoint):
        recogniser = Whisper("base", "stock", weights)
        recogniser.load("cpu", "float32")
        heard.append(recogniser.transcribe(SPEECH[0], spans))
    assert heard[0] == heard[1]


def test_systran_is_the_verified_folder_of_the_catalogue(folder, spans, tmp_path, monkeypatch):
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path))
    published(folder, tmp_path / "faster-whisper-tiny.en", ("vocabulary.txt",))
    with pytest.raises(ValueError, match=r"weights 'faster-whisper-tiny.en': .* truncated"):
        FasterWhisper("tiny.en", "systran").load("cpu", "float32")
    with pytest.raises(ValueError, match="weights is 'systran' and model 'base', allowed with it"):
        FasterWhisper("base", "systran").load("cpu", "float32")


def test_errors_are_one_line(fast, folder, spans, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="not loaded"):
        FasterWhisper().transcribe(SPEECH[0], spans)
    with pytest.raises(ValueError, match="speech is 8000 Hz, expected 16000 Hz"):
        fast.transcribe(SPEECH[0]._replace(rate_hz=8000), spans)
    with pytest.raises(ValueError, match="float16 compute type"):
        FasterWhisper("base", folder).load("cpu", "float16")
    with pytest.raises(ValueError, match=r"language is 'xx', the model of .* knows"):
        FasterWhisper("base", folder, language="xx").load("cpu", "float32")
    with pytest.raises(FileNotFoundError, match=r"no file .*base\.pt"):
        FasterWhisper("base", tmp_path).load("cpu", "float32")
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-1000])
    with pytest.raises(FileNotFoundError, match=r"but no config\.json, tok.*, vocabulary\.json"):
        FasterWhisper("base", tmp_path).load("cpu", "float32")
    for name in ("config.json", "tokenizer.json", "vocabulary.json"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(ValueError, match=r"model\.bin is damaged .*; convert it again"):
        FasterWhisper("base", tmp_path).load("cpu", "float32")
    monkeypatch.setattr(faster_whisper, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="faster-whisper is not installed; run: pip"):
        FasterWhisper().load("cpu", "float32")
