"""VGGish against another project's on the same weights, and the embedder around it."""

import numpy as np
import pytest
import torch

from metrics.contract import Tagger
from metrics.embedders import weights
from metrics.embedders.vggish import Vggish, VggishConfig, VggishEmbedder

POCKET = VggishConfig(channels=(4, 8, 8, 8), hidden=16, embedding=6)


@pytest.fixture
def embedder(tmp_path):
    torch.manual_seed(0)
    weights.save(tmp_path, Vggish(POCKET), POCKET.model_dump_json())
    embedder = VggishEmbedder(tmp_path)
    embedder.load("cpu")
    return embedder


@pytest.fixture(scope="module")
def full(filled):
    return filled(Vggish(VggishConfig()))


def test_front_end_against_torchvggish(parity, signal, full):
    waveform = torch.from_numpy(signal(16000, 40000))
    expected = parity("frontend")["vggish_examples"]
    assert full.examples(waveform)[:, 0].numpy() == pytest.approx(expected, abs=1e-6)
    quick = full.examples(waveform, torch.float32)[:, 0].numpy()
    assert quick == pytest.approx(expected, abs=2e-4)


def test_network_against_torchvggish_without_its_last_relu(parity, signal, full):
    with torch.inference_mode():
        embeddings = full(full.examples(torch.from_numpy(signal(16000, 40000)))).numpy()
    expected = parity("frontend")["vggish_pseudo_norelu"]
    assert embeddings == pytest.approx(expected, abs=1e-6 * float(abs(expected).max()))
    assert embeddings.min() < 0


def test_published_names(full):
    convolutions = {f"features.{i}" for i in (0, 3, 6, 8, 11, 13)}
    linears = {f"embeddings.{i}" for i in (0, 2, 4)}
    expected = {
        f"{layer}.{kind}" for layer in convolutions | linears for kind in ("weight", "bias")
    }
    assert set(full.state_dict()) == expected


@pytest.mark.parametrize(("seconds", "rows"), [(10, 10), (4, 4), (1.92, 2), (0.3, 2)])
def test_a_row_each_096_s_the_tail_dropped_short_clips_padded(embedder, signal, seconds, rows):
    (features,) = embedder.embed([signal(16000, round(16000 * seconds))])
    assert features.embeddings.shape == (rows, 6)
    assert features.logits is None


def test_features_do_not_depend_on_the_batch(embedder, signal):
    clips = [signal(16000, n, seed=n) for n in (64000, 40000, 64000, 900)]
    for clip, features in zip(clips, embedder.embed(clips), strict=True):
        (alone,) = embedder.embed([clip])
        assert features.embeddings == pytest.approx(alone.embeddings, rel=1e-4, abs=1e-5)


def test_an_embedder_is_no_tagger_and_carries_its_hash(embedder):
    assert not isinstance(embedder, Tagger)
    assert (embedder.rate_hz, len(embedder.sha256)) == (16000, 64)


def test_too_short_for_an_example():
    with pytest.raises(ValueError, match="one example needs 15600"):
        Vggish(POCKET).examples(torch.from_numpy(np.zeros(15599, np.float32)))
