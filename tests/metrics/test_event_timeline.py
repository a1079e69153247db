"""A tagger in windows: against the tagger itself, and in its own right."""

import numpy as np
import pytest
import torch

from stabench.metrics.contract import Tagger
from stabench.metrics.embedders import weights
from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Config, Cnn14Tagger, TaggerCard
from stabench.metrics.embedders.event_timeline import EventTimeline

SMALL = Cnn14Config(channels=(4, 8, 8, 16, 16), embedding=32, classes=3)
FRAME_S = 0.16


@pytest.fixture
def folder(tmp_path):
    """A small tagger with random weights, saved."""
    torch.manual_seed(0)
    card = TaggerCard(network=SMALL, labels=("dog", "rain", "bell"), thresholds=(0.5, 1, -1))
    weights.save(tmp_path / "tagger", Cnn14(SMALL), card.model_dump_json())
    return tmp_path / "tagger"


def loaded(network):
    network.load("cpu")
    return network


def test_one_window_over_the_clip_is_the_tagger(folder, signal):
    """The same maps and layers; only the pooling adds up in another order."""
    clip = signal(16_000, 64_000)
    [whole] = loaded(Cnn14Tagger(folder)).embed([clip])
    for window_s in (25 * FRAME_S, 60.0):
        [windows] = loaded(EventTimeline(folder, window_s)).embed([clip])
        assert windows.embeddings.shape == (1, 3)
        assert windows.logits is None
        assert windows.embeddings[0] == pytest.approx(whole.logits, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("window_s", "count"), [(0.16, 25), (0.64, 22), (0.7, 22), (3.9, 2)])
def test_windows_begin_a_frame_apart_and_reach_the_end(folder, signal, window_s, count):
    network = loaded(EventTimeline(folder, window_s))
    assert network.frame_s == pytest.approx(FRAME_S)
    assert isinstance(network, Tagger)
    [windows] = network.embed([signal(16_000, 64_000)])
    assert windows.embeddings.shape == (count, 3)
    assert windows.embeddings.dtype == np.float32


def test_a_window_hears_its_own_time(folder, signal):
    """Another second half leaves the windows of the first second as they were."""
    one, other = signal(16_000, 64_000), signal(16_000, 64_000)
    other[32_000:] = 0.5 * signal(16_000, 32_000, seed=2)[::-1]
    before, after = (
        features.embeddings for features in loaded(EventTimeline(folder, 0.32)).embed([one, other])
    )
    assert before[:5] == pytest.approx(after[:5], abs=1e-5)
    assert np.abs(before[14:] - after[14:]).min(axis=0).max() > 1e-3


def test_features_are_the_same_bits_in_any_company(folder, signal):
    network = loaded(EventTimeline(folder, 0.64))
    clips = [signal(16_000, n, seed=n) for n in (40_000, 900, 64_000, 40_000)]
    alone = [network.embed([clip])[0].embeddings for clip in clips]
    for features, expected in zip(network.embed(clips[::-1]), alone[::-1], strict=True):
        assert (features.embeddings == expected).all()


def test_identity_covers_the_window(folder):
    networks = [
        EventTimeline(folder, 0.64),
        EventTimeline(folder, 0.32),
        EventTimeline(folder, 0.64, thresholds=[0, 0, 0]),
        Cnn14Tagger(folder),
    ]
    assert len({network.identity for network in networks}) == 4
    assert networks[2].thresholds.tolist() == [0, 0, 0]


@pytest.mark.parametrize("window_s", [0.0, 0.05, -1.0])
def test_windows_shorter_than_a_frame_are_refused(folder, window_s):
    with pytest.raises(ValueError, match=r"window_s is .*, allowed is 0.16 or more"):
        EventTimeline(folder, window_s)
