"""Word CTC on STAR's encoder: padding, what it learns, what it says of itself, and its errors."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stabench.pocket import language_model as lm
from stabench.systems.asr.ctc import CtcRecogniser
from stabench.systems.asr.ctc_config import CtcHeadConfig, SearchConfig
from stabench.systems.asr.ctc_head import CtcHead
from stabench.systems.contract import Utterance
from stabench.systems.networks.checkpoint import load_part, save_part
from stabench.systems.star.config import SpeechEncoderConfig
from stabench.systems.star.speech_encoder import build_speech_encoder

WORDS = ("low", "middle", "high")
HERTZ = {"low": 300, "middle": 900, "high": 2400}
TEXTS = ["low high", "high middle low", "middle middle", "low", "high low high"]
ENCODER = SpeechEncoderConfig(
    kind="hubert-logmel",
    width=32,
    layers=1,
    heads=2,
    ffn=32,
    dropout=0.0,
    position_kernel=4,
    position_groups=2,
    mel_bins=24,
    mel_strides=(2, 2),
)
HEAD = CtcHeadConfig(width=32, vocabulary=3, hidden=32, dropout=0.0)


def sound(text: str) -> np.ndarray:
    """Each word as a tone of its own, 0.16 s, with 0.12 s of quiet around it."""
    rng = np.random.default_rng(0)
    time_s = np.arange(2560) / 16_000
    quiet = np.zeros(1920)
    parts = [quiet]
    for word in text.split():
        parts += [0.3 * np.sin(2 * np.pi * HERTZ[word] * time_s), quiet]
    samples = np.concatenate(parts)
    return (samples + 0.003 * rng.standard_normal(len(samples))).astype(np.float32)


def utterance(text: str) -> Utterance:
    return Utterance(text, sound(text), 16_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """An encoder and a head trained on three tones, stored as float16, and the texts' trigram."""
    folder = tmp_path_factory.mktemp("ctc")
    torch.manual_seed(0)
    encoder, head = build_speech_encoder(ENCODER).train(), CtcHead(HEAD).train()
    waves = [torch.from_numpy(sound(text)) for text in TEXTS]
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = nn.utils.rnn.pad_sequence(waves, batch_first=True)
    numbers = [[1 + WORDS.index(word) for word in text.split()] for text in TEXTS]
    sizes = torch.tensor([len(row) for row in numbers])
    targets = torch.tensor([number for row in numbers for number in row])
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=6e-3)
    for _ in range(200):
        frames, mask = encoder(batch, lengths)
        logs = head(frames, mask).log_softmax(-1).transpose(0, 1)
        loss = nn.functional.ctc_loss(logs, targets, mask.sum(1), sizes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.01:
            break
    save_part(folder / "speech_encoder.safetensors", encoder, "float16")
    save_part(folder / "ctc.safetensors", head, "float16")
    (folder / "words.txt").write_text("\n".join(["[PAD]", "[UNK]", *WORDS]) + "\n")
    (folder / "tones.arpa").write_text(lm.to_arpa(lm.estimate(lm.count(TEXTS))))
    names = ("speech_encoder.safetensors", "ctc.safetensors", "words.txt", "tones.arpa")
    return {name: folder / name for name in names}


def build(files: dict[str, Path], **changes) -> CtcRecogniser:
    options = {
        "encoder": ENCODER,
        "head": HEAD,
        "weights": {p: files[f"{p}.safetensors"] for p in ("speech_encoder", "ctc")},
        "words": files["words.txt"],
        "arpa": files["tones.arpa"],
    }
    return CtcRecogniser(**{**options, **changes})


@pytest.fixture(scope="module")
def recogniser(files) -> CtcRecogniser:
    recogniser = build(files)
    recogniser.load("cpu", "float32")
    return recogniser


def test_writes_down_what_it_was_trained_to_hear(recogniser, files, spans) -> None:
    greedy = build(files, arpa=None, search=SearchConfig(beam=1))
    greedy.load("cpu", "float32")
    for text in TEXTS:
        transcript = recogniser.transcribe(utterance(text), spans)
        assert transcript.text == text
        assert transcript.tokens == len(text.split())
        assert greedy.transcribe(utterance(text), spans).text == text
    assert spans.names == ["asr.encode", "asr.decode"] * 2 * len(TEXTS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_hears_the_same(files, spans, dtype: str) -> None:
    half = build(files)
    half.load("cpu", dtype)
    assert [half.transcribe(utterance(text), spans).text for text in TEXTS] == TEXTS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_hears_the_same(files, recogniser, spans) -> None:
    device = build(files)
    device.load("cuda", "float32")
    for text in TEXTS:
        assert device.transcribe(utterance(text), spans).text == text
        # TF32 and other kernels round differently.
        near = recogniser.compute_posteriors(sound(text))
        np.testing.assert_allclose(device.compute_posteriors(sound(text)), near, atol=0.05)


def test_frames_are_those_of_the_encoder_that_star_builds(recogniser, files) -> None:
    encoder, head = build_speech_encoder(ENCODER), CtcHead(HEAD)
    load_part(files["speech_encoder.safetensors"], encoder)
    load_part(files["ctc.safetensors"], head)
    samples = torch.from_numpy(sound(TEXTS[1]))[None]
    with torch.inference_mode():
        frames = encoder.eval()(samples).frames
        expected = head.eval()(frames)[0].log_softmax(-1)
    posteriors = recogniser.compute_posteriors(sound(TEXTS[1]))
    assert posteriors.shape == (frames.shape[1], 4)
    assert posteriors.dtype == np.float32
    # The recogniser fuses the position convolution's gain into its weight: rounding.
    np.testing.assert_allclose(posteriors, expected.numpy(), atol=1e-4)


def test_nothing_is_dropped_when_it_listens(recogniser, files) -> None:
    dropping = {
        "encoder": dataclasses.replace(ENCODER, dropout=0.5),
        "head": dataclasses.replace(HEAD, dropout=0.5),
    }
    careless = build(files, **dropping)
    careless.load("cpu", "float32")
    posteriors = careless.compute_posteriors(sound(TEXTS[0]))
    assert np.array_equal(posteriors, recogniser.compute_posteriors(sound(TEXTS[0])))


def test_padding_changes_no_valid_frame() -> None:
    torch.manual_seed(1)
    head = CtcHead(HEAD).eval()
    frames, counts = 3 * torch.randn(3, 40, 32), (40, 23, 1)
    mask = torch.arange(40) < torch.tensor(counts)[:, None]
    with torch.inference_mode():
        logits = head(frames, mask)
        assert logits.shape == (3, 40, 4)
        for row, count in enumerate(counts):
            alone = head(frames[row : row + 1, :count])[0]
            # A convolution of another length may sum in another order.
            torch.testing.assert_close(logits[row, :count], alone, atol=1e-5, rtol=1e-5)
            assert not logits[row, count:].any()
        frames[~mask] = torch.nan
        assert not head(frames, mask).isnan().any()


def test_a_batch_of_speech_has_the_posteriors_of_single_clips(recogniser) -> None:
    waves = [torch.from_numpy(sound(text)) for text in TEXTS]
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = nn.utils.rnn.pad_sequence(waves, batch_first=True)
    with torch.inference_mode():
        frames, mask = recogniser._encoder(batch, lengths)
        logs = recogniser._head(frames, mask).log_softmax(-1)
    for text, row, inside in zip(TEXTS, logs, mask, strict=True):
        alone = recogniser.compute_posteriors(sound(text))
        np.testing.assert_allclose(row[inside].numpy(), alone, atol=1e-3)


def test_a_transcript_does_not_depend_on_what_was_heard_before(recogniser, files, spans) -> None:
    clips = [utterance(text) for text in TEXTS]
    forward = [recogniser.transcribe(clip, spans) for clip in clips]
    assert [recogniser.transcribe(clip, spans) for clip in clips[::-1]][::-1] == forward
    fresh = build(files)
    fresh.load("cpu", "float32")
    assert fresh.transcribe(clips[3], spans) == forward[3]


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 700, 16_000])
def test_silence_of_any_length_is_a_transcript_too(recogniser, spans, samples: int) -> None:
    silence = np.zeros(samples, np.float32)
    silence.flags.writeable = False
    transcript = recogniser.transcribe(Utterance("silence", silence, 16_000), spans)
    assert transcript.tokens == len(transcript.text.split())


def test_provenance_names_files_by_content_and_every_setting(recogniser, files) -> None:
    def digest(name: str) -> str:
        return hashlib.sha256(files[name].read_bytes()).hexdigest()

    provenance = recogniser.provenance()
    assert provenance["weights"] == {
        "speech_encoder": digest("speech_encoder.safetensors"),
        "ctc": digest("ctc.safetensors"),
    }
    assert provenance["words"] == digest("words.txt")
    assert provenance["lm"] == digest("tones.arpa")
    assert provenance["search"] == dataclasses.asdict(SearchConfig())
    assert provenance["head"] == dataclasses.asdict(HEAD)
    assert provenance["encoder"]["kind"] == "hubert-logmel"
    assert build(files, arpa=None).provenance()["lm"] is None


def test_files_that_are_missing_or_do_not_fit(files, tmp_path) -> None:
    def expect(kind: type[Exception], message: str, **changes) -> None:
        with pytest.raises(kind, match=message) as caught:
            build(files, **changes).load("cpu", "float32")
        assert "\n" not in str(caught.value)

    gone = tmp_path / "gone"
    weights = build(files).weights
    expect(FileNotFoundError, "gone: no such vocabulary", words=gone)
    expect(FileNotFoundError, "gone: no such language model", arpa=gone)
    expect(FileNotFoundError, "gone: no such weights", weights={**weights, "ctc": gone})
    larger = dataclasses.replace(HEAD, vocabulary=4)
    expect(ValueError, r"words\.txt: holds 3 words, but head.vocabulary is 4", head=larger)
    more = tmp_path / "more.txt"
    more.write_text("low\nmiddle\nhigh\nrain\n")
    expect(ValueError, r"outer\.weight is .+ instead of", head=larger, words=more, arpa=None)
    expect(
        ValueError,
        r"tones\.arpa: does not know 1 words of .+more\.txt, first 'rain'",
        head=larger,
        words=more,
    )
    twice = tmp_path / "twice.txt"
    twice.write_text("low\nlow\nhigh\n")
    expect(ValueError, r"twice\.txt: vocabulary: a word stands in it twice", words=twice)
    swapped = {"speech_encoder": weights["ctc"], "ctc": weights["ctc"]}
    expect(
        ValueError,
        r"ctc\.safetensors: its tensors do not fit SpeechEncoder: missing",
        weights=swapped,
    )


def test_use_that_cannot_work(files, recogniser, spans) -> None:
    with pytest.raises(RuntimeError, match="not loaded"):
        build(files).transcribe(utterance("low"), spans)
    with pytest.raises(ValueError, match="clip 'low': speech is 8000 Hz, expected 16000 Hz"):
        recogniser.transcribe(utterance("low")._replace(rate_hz=8000), spans)
    with pytest.raises(ValueError, match="precision is 'int8', allowed are float32"):
        build(files).load("cpu", "int8")
    with pytest.raises(ValueError, match="weights names ctc, expected are speech_encoder and ctc"):
        build(files, weights={"ctc": "ctc.safetensors"})
    with pytest.raises(ValueError, match=r"head\.width is 16, but encoder\.width is 32"):
        build(files, head=dataclasses.replace(HEAD, width=16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": 0}, "head.vocabulary is 0, allowed are 1 and more"),
        ({"kernel": 4}, "head.kernel is 4, but an even kernel shifts frames"),
        ({"dropout": 1.0}, "head.dropout is 1.0, allowed are 0 to below 1"),
    ],
)
def test_heads_that_cannot_be(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(HEAD, **settings)
