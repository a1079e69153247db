"""Backends over other projects' packages: with stand-ins for them, and with themselves if there."""

import importlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from stabench.metrics.backends import backend, frechet_audio_distance, laion_clap
from stabench.metrics.backends.laion_clap import POSITION_IDS, LaionClapEmbedder
from stabench.metrics.contract import TextAudioEmbedder
from stabench.metrics.embedders.tokens import StandInTokens

FACTORIES = {
    "laion-clap": laion_clap.embedder,
    "frechet-audio-distance": frechet_audio_distance.embedder,
}


def installed(distribution):
    try:
        return bool(backend.package_version(distribution))
    except FileNotFoundError:
        return False


class Clap:
    """As much of laion_clap's `CLAP_Module` as the backend touches; it notes what it hears."""

    def __init__(self, architecture="HTSAT-tiny"):
        self.model = nn.Linear(3, 4)
        self.heard = []
        self.read = []

    def get_audio_embedding_from_data(self, samples, use_tensor):
        assert use_tensor
        assert not torch.is_grad_enabled()
        self.heard.append(samples)
        return torch.full((len(samples), 4), 0.5)

    def get_text_embedding(self, captions, tokenizer):
        self.read.append(tokenizer(captions)["input_ids"])
        return np.full((len(captions), 4), 0.5, np.float32)


class Distance:
    """As much of `FrechetAudioDistance` as the backend touches: a row for each 0.96 s."""

    def __init__(self):
        self.model = nn.Linear(2, 2)
        self.device = "the first GPU"

    def get_embeddings(self, waveforms, rate_hz):
        assert rate_hz == 16000
        return np.concatenate([np.ones((len(each) // 15360, 2), np.float32) for each in waveforms])


@pytest.fixture
def stand_ins(monkeypatch):
    """Both packages are "installed", at a version that a test may change."""
    version = SimpleNamespace(now="1.1.7")
    monkeypatch.setattr("stabench.metrics.backends.backend.package_version", lambda _: version.now)
    monkeypatch.setattr(laion_clap, "clap_module", Clap)
    monkeypatch.setattr(frechet_audio_distance, "vggish_distance", Distance)
    return version


@pytest.fixture
def clap(stand_ins):
    embedder = LaionClapEmbedder("random")
    embedder.load("cpu")
    return embedder


@pytest.mark.parametrize("distribution", FACTORIES)
def test_a_package_that_is_not_installed_is_one_line_with_what_to_do(distribution):
    if installed(distribution):
        pytest.skip(f"{distribution} is installed here")
    with pytest.raises(FileNotFoundError) as error:
        FACTORIES[distribution]()
    assert str(error.value) == (
        f"backend '{distribution}' is not installed; `make peers` makes an environment that has "
        "it: .venv-crosscheck/bin/stabench"
    )


def test_a_long_clip_is_its_first_ten_seconds_so_nothing_is_left_to_chance(clap):
    long = np.arange(12 * 48000, dtype=np.float32)
    features = clap.embed([long, long[:1000]])
    assert [each.embeddings.shape for each in features] == [(1, 4), (1, 4)]
    first, second = clap._peer.heard
    assert first.shape == (1, 480000)
    assert first[0].numpy().tolist() == long[:480000].tolist()
    assert second.shape == (1, 1000)


def test_captions_are_read_one_by_one_through_the_tokenizer(clap):
    assert clap.embed_text(["rain", "a dog barks"]).shape == (2, 4)
    expected = StandInTokens()(["rain", "a dog barks"]).ids
    assert torch.cat(clap._peer.read).numpy().tolist() == expected.tolist()


def test_contract(clap):
    assert isinstance(clap, TextAudioEmbedder)
    assert (clap.rate_hz, clap.longest_s, len(clap.sha256)) == (48000, 10.0, 64)
    assert (clap.origin, clap.licence) == ("random, seed 0", "none (random)")


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone(stand_ins):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = LaionClapEmbedder("random"), LaionClapEmbedder("random")
    assert one.sha256 == other.sha256
    for embedder in (one, other):
        embedder.load("cpu")
    assert (one._peer.model.weight == other._peer.model.weight).all()
    assert (torch.get_rng_state() == before).all()


def test_identity_changes_with_version_weights_and_architecture(stand_ins, tmp_path):
    path = published(tmp_path / "clap.pt", nn.Linear(3, 4).state_dict())
    base = clap_from(path).identity
    assert base == clap_from(path).identity
    assert len(base) == 64
    others = {LaionClapEmbedder("random").identity}
    others.add(LaionClapEmbedder(path, "HTSAT-base", StandInTokens()).identity)
    others.add(clap_from(published(tmp_path / "b.pt", nn.Linear(3, 4).state_dict())).identity)
    stand_ins.now = "1.1.8"
    others.add(clap_from(path).identity)
    assert len(others | {base}) == 5


def test_a_checkpoint_in_its_published_layout(stand_ins, tmp_path):
    weights = nn.Linear(3, 4).state_dict()
    embedder = clap_from(published(tmp_path / "clap.pt", weights))
    embedder.load("cpu")
    assert (embedder._peer.model.weight == weights["weight"]).all()
    assert embedder.origin == "own file clap.pt"


def test_weights_that_do_not_fit_or_are_not_there(stand_ins, tmp_path):
    other = published(tmp_path / "clap.pt", nn.Linear(3, 5).state_dict())
    with pytest.raises(ValueError, match="do not fit"):
        clap_from(other).load("cpu")
    torch.save({"model": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt"):
        clap_from(tmp_path / "other.pt").load("cpu")
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.pt' are missing; give 'published'"):
        clap_from("nowhere.pt")


def test_bfloat16_is_refused(clap):
    with pytest.raises(ValueError, match="precision 'bfloat16' is not offered; use 'float32'"):
        clap.load("cpu", "bfloat16")


def test_vggish_pads_what_is_shorter_than_an_example_and_stays_on_its_device(stand_ins):
    embedder = frechet_audio_distance.embedder("random")
    embedder.load("cpu", "float32")
    found = embedder.embed([np.ones(n, np.float32) for n in (100, 15600, 160000)])
    assert [each.embeddings.shape for each in found] == [(1, 2), (1, 2), (10, 2)]
    assert embedder._peer.device == embedder._peer.model.device == torch.device("cpu")
    assert not isinstance(embedder, TextAudioEmbedder)


@pytest.mark.parametrize("factory", FACTORIES.values())
def test_broken_clips(stand_ins, factory):
    embedder = factory("random")
    embedder.load("cpu")
    with pytest.raises(ValueError, match="waveform 1: holds NaN"):
        embedder.embed([np.ones(9, np.float32), np.full(9, np.nan, np.float32)])


def test_torchvggish_is_taken_from_a_folder_and_never_downloaded(monkeypatch, tmp_path):
    (tmp_path / "hubconf.py").write_text("")
    asked = []

    def load(*place, **how):
        asked.append((place, how))
        return nn.Linear(2, 2)

    def distance(**settings):
        return torch.hub.load(repo_or_dir="harritaylor/torchvggish", model="vggish")

    monkeypatch.setenv(backend.TORCHVGGISH, str(tmp_path))
    monkeypatch.setattr(torch.hub, "load", load)
    peer = SimpleNamespace(FrechetAudioDistance=distance)
    monkeypatch.setattr(backend, "package", lambda _: peer)
    backend.vggish_distance()
    [(place, how)] = asked
    assert place == (str(tmp_path), "vggish")
    assert (how["source"], how["pretrained"]) == ("local", False)
    assert torch.hub.load is load


def test_torchvggish_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv(backend.TORCHVGGISH, str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="set TORCHVGGISH to a checkout"):
        backend.torchvggish()


def test_hub_look_ups_are_off(monkeypatch):
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    backend.stay_offline()
    assert constants.is_offline_mode()
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.skipif(not installed("laion-clap"), reason="laion-clap is not installed")
@pytest.mark.filterwarnings("ignore")
def test_laion_clap_itself(signal):
    embedder = laion_clap.embedder("random")
    embedder.load("cpu")
    one, other = embedder.embed([signal(48000, 576000), signal(48000, 96000)])
    (again,) = embedder.embed([signal(48000, 576000)])
    assert (one.embeddings == again.embeddings).all()
    rows = np.concatenate([one.embeddings, other.embeddings, embedder.embed_text(["rain"])])
    assert rows.shape == (3, 512)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


@pytest.mark.skipif(not installed("frechet-audio-distance"), reason="it is not installed")
@pytest.mark.filterwarnings("ignore")
def test_frechet_audio_distance_itself(signal):
    try:
        backend.torchvggish()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    embedder = frechet_audio_distance.embedder("random")
    embedder.load("cpu")
    found = embedder.embed([signal(16000, 160000), signal(16000, 900)])
    assert [each.embeddings.shape for each in found] == [(10, 128), (1, 128)]


def published(path, weights):
    """A file as LAION publishes them, with these weights."""
    state = {f"module.{name}": tensor for name, tensor in weights.items()}
    state[f"module.{POSITION_IDS}"] = torch.arange(514)[None]
    torch.save({"epoch": 45, "name": "test", "state_dict": state}, path)
    return path


def clap_from(path):
    return LaionClapEmbedder(path, tokenizer=StandInTokens())
