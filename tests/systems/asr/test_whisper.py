"""Whisper as a recogniser: its variants write what openai-whisper's own code writes."""

import json
import math

import numpy as np
import pytest

pytest.importorskip("whisper", reason="openai-whisper is not installed")

import torch
import whisper as openai_whisper

from stabench.systems.asr import whisper_sizes
from stabench.systems.asr.whisper import DTYPES, Whisper
from stabench.systems.contract import Transcript, Utterance
from tests.systems.asr import tiny_whisper
from tests.systems.asr.tiny_whisper import utterance

STAGES = ["asr.mel", "asr.encode", "asr.decode"]
SPEECH = [utterance(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny checkpoints as base.pt and base.en.pt."""
    folder = tmp_path_factory.mktemp("whisper")
    tiny_whisper.write(folder / "base.pt")
    tiny_whisper.write(folder / "base.en.pt", tiny_whisper.TINY_ENGLISH)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    """A recogniser by variant and dtype, loaded once."""
    made = {}

    def get(variant: str, dtype: str = "float32", model: str = "base") -> Whisper:
        key = variant, dtype, model
        if key not in made:
            made[key] = Whisper(model, variant, folder)
            made[key].load("cpu", dtype)
        return made[key]

    return get


@pytest.fixture
def tiny_sizes(monkeypatch):
    """ "base" is tiny too where weights are random."""
    monkeypatch.setitem(whisper_sizes.SIZES, "base", tiny_whisper.TINY)


def written(recogniser: Whisper, speech: Utterance) -> list[int]:
    """The tokens, which say more than the text."""
    with torch.inference_mode():
        engine = recogniser.engine
        features = engine.encode(engine.mel(speech.samples))
        return engine.decode(features, recogniser.dims.longest).tokens


def reference(folder, speech: Utterance, name: str = "base"):
    """What openai-whisper itself makes of it: its loader, its mel, one call of its `decode`."""
    network = openai_whisper.load_model(str(folder / f"{name}.pt"), "cpu")
    padded = openai_whisper.pad_or_trim(speech.samples)
    mel = openai_whisper.log_mel_spectrogram(padded)
    return network.decode(mel, language="en", without_timestamps=True, fp16=False)


@pytest.mark.parametrize("variant", DTYPES)
@pytest.mark.parametrize("name", ["base", "base.en"])
def test_every_variant_writes_what_openai_whisper_writes(loaded, folder, spans, variant, name):
    recogniser = loaded(variant, model=name)
    expected = [reference(folder, speech, name) for speech in SPEECH[:4]]
    for speech, truth in zip(SPEECH[:4], expected, strict=True):
        heard = recogniser.transcribe(speech, spans)
        assert heard == Transcript(truth.text, len(truth.tokens))
        assert written(recogniser, speech) == truth.tokens
    assert spans.names == STAGES * 4
    assert len({truth.text for truth in expected}) > 1


def test_texts_differ_and_end(loaded):
    texts = [written(loaded("stock"), speech) for speech in SPEECH]
    assert len(set(map(tuple, texts))) == len(texts)
    assert max(map(len, texts)) < tiny_whisper.TINY.longest


def test_decoding_a_mel_equals_decoding_features(loaded):
    stock = loaded("stock")
    with torch.inference_mode():
        mel = stock.engine.mel(SPEECH[0].samples)
        features = stock.engine.encode(mel)
        (of_mel,) = openai_whisper.decode(stock.engine.network, mel, stock.engine.options)
        (of_features,) = openai_whisper.decode(stock.engine.network, features, stock.engine.options)
    assert of_mel.tokens == of_features.tokens
    assert of_mel.avg_logprob == of_features.avg_logprob
    assert torch.equal(of_mel.audio_features, features[0])


def test_half_in_float16_is_stock_in_float16(loaded):
    stock, half = loaded("stock", "float16"), loaded("half", "float16")
    for speech in SPEECH[:3]:
        assert written(half, speech) == written(stock, speech)
        with torch.inference_mode():
            mel = stock.engine.mel(speech.samples)
            assert torch.equal(half.engine.encode(mel), stock.engine.encode(mel))


def test_half_stores_float16_and_keeps_norms(loaded):
    from torch import nn

    for module in loaded("half").engine.network.modules():
        kinds = {value.dtype for value in module.parameters(recurse=False)}
        if isinstance(module, nn.LayerNorm):
            assert kinds == {torch.float32}
        elif kinds:
            assert kinds == {torch.float16}
    stock = {value.dtype for value in loaded("stock", "float16").engine.network.parameters()}
    assert stock == {torch.float32}


@pytest.mark.parametrize(("dtype", "slack"), [("float16", 0.02), ("bfloat16", 0.2)])
def test_graph_in_low_precision_writes_tokens_that_are_all_but_the_best(loaded, dtype, slack):
    """Each token's logit, by a forward of the whole in float32 without a cache, is near the top."""
    stock, graph = loaded("stock"), loaded("graph", dtype)
    for speech in SPEECH[:3]:
        tokens = written(graph, speech)
        prompt = graph.engine.decoder.prompt
        with torch.no_grad():
            features = stock.engine.encode(stock.engine.mel(speech.samples))
            sequence = torch.cat([prompt, torch.tensor(tokens, dtype=torch.int64)])[None]
            logits = stock.engine.network.logits(sequence, features)[0, len(prompt) - 1 :]
        logits[:, graph.engine.decoder.never] = -torch.inf
        logits[0, graph.engine.decoder.not_first] = -torch.inf
        chosen = [*tokens, graph.engine.tokenizer.eot]
        behind = logits.max(-1).values - logits[torch.arange(len(chosen)), chosen]
        assert 0 < len(tokens) < graph.dims.longest
        assert behind.max() < slack


@pytest.mark.parametrize("variant", DTYPES)
def test_the_order_of_utterances_does_not_matter(loaded, spans, variant):
    def transcripts(speech):
        return [loaded(variant).transcribe(one, spans) for one in speech]

    forward = transcripts(SPEECH[:3])
    assert transcripts(SPEECH[:3][::-1])[::-1] == forward


@pytest.fixture(scope="module")
def of_nothing(folder):
    """What openai-whisper hears in a second of silence."""
    return reference(folder, Utterance("silence", np.zeros(16_000, np.float32), 16_000))


@pytest.mark.parametrize("variant", DTYPES)
def test_silence_of_any_length_is_a_transcript_too(loaded, spans, of_nothing, variant):
    silence = np.zeros(399, np.float32)
    silence.setflags(write=False)
    for samples in (silence[:0], silence):
        heard = loaded(variant).transcribe(Utterance("silence", samples, 16_000), spans)
        assert heard == Transcript(of_nothing.text, len(of_nothing.tokens))


@pytest.mark.parametrize("variant", DTYPES)
def test_random_weights_write_exactly_so_many_tokens(tiny_sizes, spans, variant):
    recogniser = Whisper("base", variant, "random", tokens=1)
    recogniser.load("cpu", "float32")
    assert not recogniser.reads_caption
    for tokens in (1, 2, 12, 500):
        recogniser.tokens = tokens
        heard = recogniser.transcribe(utterance(0, caption=None), spans)
        assert heard.tokens == min(tokens, 224)


def test_random_weights_take_their_length_from_the_caption(tiny_sizes, spans):
    recogniser = Whisper("base", "graph", "random")
    recogniser.load("cpu", "float32")
    assert recogniser.reads_caption
    heard = recogniser.transcribe(SPEECH[0], spans)
    assert heard.tokens == tiny_whisper.CAPTION_TOKENS
    assert heard.text != tiny_whisper.CAPTION
    assert recogniser.transcribe(utterance(0, caption=""), spans).tokens == 1
    said = recogniser.provenance()
    assert (said["weights"], said["tokens"]) == ("random", "as many as the caption has")
    with pytest.raises(ValueError, match="clip 'clip0': random weights write as many tokens as"):
        recogniser.transcribe(utterance(0, caption=None), spans)


def test_random_weights_come_from_the_seed_alone(tiny_sizes):
    def draw(seed: int) -> dict[str, torch.Tensor]:
        recogniser = Whisper("base", "stock", "random", seed=seed)
        recogniser.load("cpu", "float32")
        return recogniser.engine.network.state_dict()

    first, again, other = draw(0), draw(0), draw(1)
    for name, value in first.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, again[name])
        if value.ndim > 1 and name != "encoder.positional_embedding":
            assert not torch.equal(value, other[name])
            assert 0 < value.std() < 1 / math.sqrt(value[0].numel()) * 1.1


def test_provenance_says_what_is_stored_and_what_is_computed(loaded, folder):
    import hashlib

    digest = hashlib.sha256((folder / "base.pt").read_bytes()).hexdigest()
    kinds = {
        ("stock", "float16"): ("float32", "float16"),
        ("half", "float32"): ("float16", "float32"),
        ("graph", "bfloat16"): ("bfloat16", "bfloat16"),
    }
    for (variant, dtype), expected in kinds.items():
        said = loaded(variant, dtype).provenance()
        assert json.loads(json.dumps(said)) == said
        assert (said["stored"], said["computed"]) == expected
        assert said["weights"] == {"base.pt": digest}
        assert said["decoding"].startswith("greedy, temperature 0, without timestamps")
        assert (said["language"], said["model"]) == ("en", "base")


def test_precision_of_its_own(folder):
    own = Whisper("base", "stock", folder, precision="float16")
    own.load("cpu", "bfloat16")
    assert own.provenance()["computed"] == "float16"
    shipped = Whisper("base", "stock", folder, precision="shipped")
    shipped.load("cpu", "float16")
    assert shipped.provenance()["computed"] == "float32"
    assert shipped._arithmetic("cuda:0", "float32") == "float16"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "bse"}, "unknown Whisper model 'bse'; did you mean 'base'"),
        ({"variant": "fast"}, "variant is 'fast', allowed are stock, half, graph"),
        ({"precision": "bfloat16"}, "precision of Whisper's 'stock' is 'bfloat16', allowed are"),
        ({"tokens": 12}, "tokens is 12 and weights 'published'; only random weights"),
        ({"tokens": 0, "weights": "random"}, "tokens is 0"),
    ],
)
def test_options_are_checked_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        Whisper(**options)


def test_errors_of_use_are_one_line(loaded, folder, spans):
    with pytest.raises(RuntimeError, match="not loaded"):
        Whisper().transcribe(SPEECH[0], spans)
    with pytest.raises(RuntimeError, match="not loaded"):
        Whisper().provenance()
    with pytest.raises(ValueError, match="clip 'clip0': speech is 8000 Hz, expected 16000 Hz"):
        loaded("stock").transcribe(SPEECH[0]._replace(rate_hz=8000), spans)
    with pytest.raises(ValueError, match=r"speech is 30\.1 s, Whisper hears 30 s at once"):
        loaded("stock").transcribe(utterance(0, 481_600), spans)
    for variant in ("stock", "half"):
        with pytest.raises(ValueError, match="precision is 'bfloat16', allowed with Whisper's"):
            Whisper("base", variant, folder).load("cpu", "bfloat16")
    with pytest.raises(ValueError, match="language is 'xx', the model knows en, zh"):
        Whisper("base", "stock", folder, language="xx").load("cpu", "float32")
    with pytest.raises(ValueError, match=r"language is 'de', the model knows en$"):
        Whisper("base.en", "stock", folder, language="de").load("cpu", "float32")


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr("stabench.systems.asr.whisper.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="openai-whisper is not installed; run: pip"):
        Whisper(weights="random").load("cpu", "float32")
