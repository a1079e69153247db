"""VGGish against another project's on the same weights, and the embedder around it."""

import numpy as np
import pytest
import torch

from stabench.metrics.contract import Tagger
from stabench.metrics.embedders import weights
from stabench.metrics.embedders.vggish import (
    ROWS,
    Inference,
    Pca,
    Vggish,
    VggishConfig,
    VggishEmbedder,
)

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
    """Rounding differs from processor to processor: 2.1e-6 of the largest value was seen."""
    expected = parity("frontend")["vggish_pseudo_norelu"]
    quick = Inference(full, "float32")
    with torch.inference_mode():
        examples = full.examples(torch.from_numpy(signal(16000, 40000)))
        (rows,) = quick.rows([quick.cells(examples)])
        for embeddings in (full(examples).numpy(), rows.numpy()):
            assert embeddings == pytest.approx(expected, abs=1e-5 * float(abs(expected).max()))
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


@pytest.mark.parametrize("seconds", [0.98, 1.5, 4.0, 9.99, 14.9])
def test_spread_examples_hold_every_frame_and_are_as_few_as_can_be(full, seconds):
    waveform = torch.linspace(0, 1, round(16000 * seconds)) ** 2
    plain = full.examples(torch.cat([waveform, torch.zeros(96 * 160)]))[:, 0]
    frames = (len(waveform) - 400) // 160 + 1
    everything = plain.reshape(-1, 64)[:frames]
    examples = full.examples(waveform, spread=True)[:, 0]
    assert len(examples) == -(-frames // 96)
    assert torch.equal(examples[0], everything[:96])
    assert torch.equal(examples[-1], everything[-96:])
    starts = [_find_start(example, everything) for example in examples]
    steps = np.diff(starts)
    assert all(steps <= 96), "a frame lies between two examples"
    assert not len(steps) or max(steps) - min(steps) <= 1


def _find_start(example: torch.Tensor, everything: torch.Tensor) -> int:
    (start,) = (
        i for i in range(len(everything) - 95) if torch.equal(example, everything[i : i + 96])
    )
    return start


def test_examples_that_fit_are_spread_as_published(full, signal):
    waveform = torch.from_numpy(signal(16000, 4 * 96 * 160 + 240))
    assert torch.equal(full.examples(waveform, spread=True), full.examples(waveform))


def test_a_sound_at_the_end_of_a_clip_is_heard_only_where_examples_are_spread(tmp_path, signal):
    torch.manual_seed(0)
    weights.save(tmp_path, Vggish(POCKET), POCKET.model_dump_json())
    quiet = signal(16000, 64000) * 0.01
    loud_end = quiet.copy()
    loud_end[-1600:] *= 90  # a tenth of a second
    identities = []
    for spread in (False, True):
        embedder = VggishEmbedder(tmp_path)
        embedder.spread = spread
        identities.append(embedder.identity)
        embedder.load("cpu")
        before, after = embedder.embed([quiet, loud_end])
        assert np.array_equal(before.embeddings, after.embeddings) != spread
    assert identities[0] != identities[1]


def test_features_are_the_same_bits_in_any_company(embedder, signal):
    """Alone, first, last, and where the examples of the call fill the linear layers twice over."""
    clips = [signal(16000, n, seed=n) for n in (64000, 40000, 64000, 900, 320000, 640000, 640000)]
    clips = [*clips, signal(16000, 800000)]
    alone = [embedder.embed([clip])[0].embeddings for clip in clips]
    assert sum(map(len, alone)) > 2 * ROWS
    for order in (slice(None), slice(None, None, -1), slice(1, 6)):
        for one, features in zip(alone[order], embedder.embed(clips[order]), strict=True):
            assert (features.embeddings == one).all()
    assert embedder.embed([]) == []


def test_embeddings_are_those_of_the_plain_network(embedder, signal, tmp_path):
    network = Vggish(POCKET)
    weights.load_into(network, tmp_path)
    clips = [signal(16000, n, seed=n) for n in (64000, 15600)]
    for clip, features in zip(clips, embedder.embed(clips), strict=True):
        samples = torch.from_numpy(np.pad(clip, (0, max(0, 32000 - len(clip)))))
        with torch.inference_mode():
            rows = network(network.examples(samples)).numpy()
        assert features.embeddings == pytest.approx(rows, abs=1e-6)


def test_pca_against_torchvggish(parity):
    arrays = parity("frontend")
    vectors, means = (torch.from_numpy(arrays[f"pca_{name}"]) for name in ("vectors", "means"))
    steps = Pca(vectors, means.flatten(), "ab")(arrays["pca_in"])
    assert (steps == arrays["pca_out_quantised"]).all()


def test_pca_and_8_bit_steps(tmp_path, signal):
    """Against the same arithmetic in NumPy, float64; whitened values that are no ties."""
    rng = np.random.default_rng(0)
    components, means = rng.standard_normal((6, 6)) * 3, rng.standard_normal(6)
    rows = rng.standard_normal((50, 6)).astype(np.float32)
    pca = Pca(torch.tensor(components).float(), torch.tensor(means).float(), "ab")
    whitened = (np.maximum(rows, 0) - means) @ components.T
    expected = np.round((np.clip(whitened, -2, 2) + 2) * 255 / 4)
    assert (pca(rows) == expected).all()
    assert expected.min() == 0
    assert expected.max() == 255
    weights.save(tmp_path, Vggish(POCKET), POCKET.model_dump_json())
    plain, processed = VggishEmbedder(tmp_path), VggishEmbedder(tmp_path, pca=pca)
    assert plain.identity != processed.identity
    for embedder in (plain, processed):
        embedder.load("cpu")
    clip = signal(16000, 40000)
    (raw,), (steps,) = plain.embed([clip]), processed.embed([clip])
    assert (steps.embeddings == pca(raw.embeddings)).all()


def test_an_embedder_is_no_tagger_and_carries_its_hash(embedder):
    assert not isinstance(embedder, Tagger)
    assert (embedder.rate_hz, len(embedder.sha256)) == (16000, 64)
    assert (embedder.origin, embedder.licence) == ("own folder", "unknown")


def test_too_short_for_an_example():
    with pytest.raises(ValueError, match="one example needs 15600"):
        Vggish(POCKET).examples(torch.from_numpy(np.zeros(15599, np.float32)))
