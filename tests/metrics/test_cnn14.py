"""CNN14 against another project's on the same weights, and the tagger around it."""

import json

import numpy as np
import pytest
import torch

from stabench.metrics.contract import Tagger
from stabench.metrics.embedders import weights
from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Config, Cnn14Tagger, Inference, TaggerCard

POCKET = Cnn14Config(channels=(4, 8, 8, 16, 16), embedding=32, classes=3)


@pytest.fixture
def folder(tmp_path):
    """A small tagger with random weights, saved."""
    torch.manual_seed(0)
    card = TaggerCard(network=POCKET, labels=("dog", "rain", "bell"), thresholds=(0.5, 1, -1))
    weights.save(tmp_path / "tagger", Cnn14(POCKET), card.model_dump_json())
    return tmp_path / "tagger"


@pytest.fixture
def tagger(folder):
    tagger = Cnn14Tagger(folder)
    tagger.load("cpu")
    return tagger


@pytest.mark.slow
def test_full_size_against_audioldm_eval(parity, signal, filled):
    arrays = parity("frontend")
    network = filled(Cnn14(Cnn14Config()))
    waveform = torch.from_numpy(signal(16000, 40000))[None]
    for form in (network, Inference(network, "float32")):
        with torch.inference_mode():
            logmel = form.logmel(waveform)
            embedding, logits = (tensor.numpy() for tensor in form.from_logmel(logmel))
        # Decibels recorded on another processor: in a cell 60 dB below the loudest, the products
        # of the transform cancel and its energy keeps five digits (1.2e-4 dB was seen).
        assert logmel[0, 0, ::4].numpy() == pytest.approx(arrays["panns16k_logmel"], abs=1e-3)
        for ours, name in ((embedding, "2048"), (logits, "logits")):
            expected = arrays[f"cnn14_pseudo_{name}"]
            assert ours == pytest.approx(expected, abs=1e-5 * float(abs(expected).max()))


def test_published_names():
    names = set(Cnn14(POCKET).state_dict())
    assert {
        "spectrogram_extractor.stft.conv_real.weight",
        "spectrogram_extractor.stft.conv_imag.weight",
        "logmel_extractor.melW",
        "bn0.running_mean",
        "conv_block1.conv1.weight",
        "conv_block5.bn2.bias",
        "fc1.weight",
        "fc_audioset.bias",
    } <= names
    trained = {name for name, _ in Cnn14(POCKET).named_parameters()}
    assert not {name for name in trained if "extractor" in name}


def test_the_front_end_of_the_checkpoint_decides(folder, signal):
    """A mel matrix of other weights is used, not the one that the configuration would give."""
    other = Cnn14(POCKET)
    with torch.no_grad():
        other.logmel_extractor.melW.zero_()
    weights.save(folder, other, (folder / "config.json").read_text())
    tagger = Cnn14Tagger(folder)
    tagger.load("cpu")
    one, two = tagger.embed([signal(16000, 32000), signal(16000, 32000, seed=2) * 0.1])
    assert one.logits == pytest.approx(two.logits)


def test_kernels_of_the_checkpoint_are_used_where_they_are_no_dft(folder, signal):
    """Halved kernels take 6 dB from every bin; the DFT would not."""
    waveform = torch.from_numpy(signal(16000, 32000))[None]
    network = Cnn14(POCKET).eval()
    with torch.inference_mode():
        fft, plain = Inference(network, "float32").logmel(waveform), network.logmel(waveform)
        # Decibels by two transforms in float32; 1e-4 was seen in the quietest cells.
        assert fft.numpy() == pytest.approx(plain.numpy(), abs=1e-3)
        for kernel in network.spectrogram_extractor.state_dict().values():
            kernel *= 0.5
        own, plain = Inference(network, "float32").logmel(waveform), network.logmel(waveform)
    assert (own == plain).all()
    assert (fft - own).numpy().max() == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_identity_covers_labels_thresholds_and_precision(tagger, folder):
    seen = {tagger.identity, Cnn14Tagger(folder, thresholds=[0, 0, 0]).identity}
    seen.add(Cnn14Tagger(folder, labels=["dog", "rain", "gong"]).identity)
    other = Cnn14Tagger(folder)
    assert other.identity in seen
    other.precision = "bfloat16"
    seen.add(other.identity)
    assert len(seen) == 4
    assert {len(digest) for digest in seen} == {64}


def test_bfloat16_is_near_float32_and_nothing_else_is_known(tagger, folder, signal):
    rough = Cnn14Tagger(folder)
    rough.load("cpu", "bfloat16")
    clip = signal(16000, 32000)
    (near,), (exact,) = rough.embed([clip]), tagger.embed([clip])
    assert near.embeddings.dtype == near.logits.dtype == np.float32
    assert near.logits != pytest.approx(exact.logits, abs=1e-7)
    assert near.logits == pytest.approx(exact.logits, abs=0.05 * float(abs(exact.logits).max()))
    with pytest.raises(ValueError, match="precision is 'int8', expected 'float32' or 'bfloat16'"):
        rough.load("cpu", "int8")


def test_tagger_reads_its_card(tagger, folder):
    assert isinstance(tagger, Tagger)
    assert tagger.labels == ("dog", "rain", "bell")
    assert tagger.thresholds.tolist() == [0.5, 1, -1]
    assert (tagger.rate_hz, tagger.sha256) == (16000, weights.sha256(folder))
    assert Cnn14Tagger(folder, thresholds=[0, 0, 0]).thresholds.tolist() == [0, 0, 0]


def test_features_are_the_same_bits_in_any_company(tagger, signal):
    clips = [signal(16000, n, seed=n) for n in (40000, 36000, 40001, 900, 40000, 36000)]
    alone = [tagger.embed([clip])[0] for clip in clips]
    for order in (slice(None), slice(None, None, -1), slice(1, 4)):
        for one, features in zip(alone[order], tagger.embed(clips[order]), strict=True):
            assert features.embeddings.shape == (1, 32)
            assert (features.embeddings == one.embeddings).all()
            assert (features.logits == one.logits).all()


def test_short_clips_are_padded_to_two_seconds(tagger, signal):
    short = signal(16000, 5000)
    one, two = tagger.embed([short, np.pad(short, (0, 27000))])
    assert one.logits == pytest.approx(two.logits, rel=1e-5)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros(0, np.float32), "waveform 1: shape is"),
        (np.zeros((5, 2), np.float32), "waveform 1: shape is"),
        (np.array([np.nan] * 9, np.float32), "waveform 1: holds NaN"),
    ],
)
def test_broken_clips(tagger, clip, message):
    with pytest.raises(ValueError, match=message):
        tagger.embed([np.ones(9, np.float32), clip])


def test_a_card_that_does_not_fit(folder):
    with pytest.raises(ValueError, match="2 labels, expected 3"):
        Cnn14Tagger(folder, labels=["dog", "rain"])
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(card | {"treshold": []}))
    with pytest.raises(ValueError, match="treshold"):
        Cnn14Tagger(folder)
    with pytest.raises(ValueError, match="needs at least 2560"):
        Cnn14(POCKET)(torch.zeros(1, 2000))
