"""Published checkpoints in their layouts on disk, tiny, into our embedders."""

import json

import numpy as np
import pytest
import torch

from stabench.metrics.embedders import cnn14, laion, published, vggish, weights
from stabench.metrics.embedders.clap import DERIVED
from stabench.metrics.embedders.cnn14 import Cnn14, Cnn14Config
from stabench.metrics.embedders.tokens import StandInTokens
from stabench.metrics.embedders.vggish import Vggish, VggishConfig
from stabench.metrics.embedders.weight_sources import Folder, Seeded

SMALL_VGGISH = VggishConfig(channels=(2, 2, 4, 4), hidden=8, embedding=6)
CHANNELS = {"channels": (4, 8, 8, 16, 16), "embedding": 32}
TEXT = {
    "vocab_size": 50265,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 90,
    "layer_norm_eps": 1e-5,
}
AUDIO = {
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "depths": [2, 2],
    "num_attention_heads": [2, 4],
}
CLAP = json.dumps({"audio_config": AUDIO, "text_config": TEXT, "projection_dim": 12})
LAION = (
    ("audio_model.audio_encoder.", "audio_branch."),
    ("text_model.", "text_branch."),
    ("batch_norm.", "bn0."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("projection.linear1", "projection.0"),
    ("projection.linear2", "projection.2"),
)
WITHIN_AUDIO = (
    (".attention.self.relative", ".attn.relative"),
    (".attention.output.dense", ".attn.proj"),
    (".intermediate.dense", ".mlp.fc1"),
    (".output.dense", ".mlp.fc2"),
)


TOKENS = published._choose_tokenizer


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The factories build networks of a few thousand weights."""
    monkeypatch.setattr(vggish, "VggishConfig", lambda: SMALL_VGGISH)
    monkeypatch.setattr(cnn14, "Cnn14Config", lambda **front: Cnn14Config(**CHANNELS, **front))
    monkeypatch.setattr(laion, "config", lambda width, depths: CLAP)
    monkeypatch.setattr(published, "_choose_tokenizer", lambda path: StandInTokens())


def drawn(network):
    """The network, every tensor from a seed; PyTorch's own would give constant text."""
    Seeded(lambda: network, seed=3).fill(network)
    return network.eval()


def panns(path, config, **more):
    network = drawn(Cnn14(config))
    sampler = {"indexes": np.arange(5), "pointer": np.int64(2), "seed": np.random.rand(2)}
    torch.save(
        {"iteration": 600000, "sampler": sampler, "model": network.state_dict() | more}, path
    )
    return network


def laion_names(model):
    """The tensors of a ClapModel as laion_clap's training wrote them."""
    state = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in LAION + (WITHIN_AUDIO if name.startswith("audio_model") else ()):
            name = name.replace(ours, theirs)
        state[name] = tensor
    for name in [name for name in state if "audio_branch" in name and ".self.query." in name]:
        parts = [state.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        state[name.replace("attention.self.query", "attn.qkv")] = torch.cat(parts)
    del state["text_branch.embeddings.token_type_ids"]
    return state


def clap_file(path, change=lambda state: None):
    model = drawn(published._build_clap_model(CLAP))
    state = laion_names(model)
    for branch in ("text", "audio"):
        state[f"{branch}_transform.sequential.0.weight"] = torch.ones(12, 12)
    state["audio_branch.tscam_conv.weight"] = torch.ones(3, 16, 2, 3)
    state["audio_branch.head.bias"] = torch.ones(3)
    state["audio_branch.layers.0.blocks.1.attn_mask"] = torch.ones(4, 64, 64)
    kernels = cnn14.Dft(1024, 480).state_dict()
    for name, kernel in kernels.items():
        state[f"audio_branch.spectrogram_extractor.stft.{name}"] = kernel
    bank = laion.slaney_bank(48000, 1024, 64, 50, 14000)
    state["audio_branch.logmel_extractor.melW"] = torch.from_numpy(bank)
    change(state)
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": np.float64(15), "name": "CLAP", "state_dict": wrapped}, path)
    return model


def test_vggish(tmp_path, signal):
    network = drawn(Vggish(SMALL_VGGISH))
    torch.save(network.state_dict(), tmp_path / "vggish-10086976.pth")
    embedder = published.vggish(str(tmp_path / "vggish-10086976.pth"))
    embedder.load("cpu")
    clip = signal(16000, 64000)
    with torch.inference_mode():
        expected = network(network.examples(torch.from_numpy(clip))).numpy()
    # Here and below: the same network with fused layers, in float32; a third of 1e-5 was seen.
    assert embedder.embed([clip])[0].embeddings == pytest.approx(expected, abs=5e-6)
    assert embedder.origin == "own file vggish-10086976.pth"
    assert embedder.sha256 == weights.sha256(tmp_path / "vggish-10086976.pth")


def test_vggish_with_the_pca_beside_it(tmp_path, signal):
    torch.save(drawn(Vggish(SMALL_VGGISH)).state_dict(), tmp_path / "vggish.pth")
    with pytest.raises(FileNotFoundError, match="vggish_pca_params"):
        published.vggish_pca(str(tmp_path / "vggish.pth"))
    params = {"pca_eigen_vectors": np.eye(6) * 9, "pca_means": np.zeros(6)}
    torch.save(params, tmp_path / published.PCA_FILE)
    embedder = published.vggish_pca(str(tmp_path / "vggish.pth"))
    embedder.load("cpu")
    rows = embedder.embed([signal(16000, 64000)])[0].embeddings
    assert (rows == np.round(rows)).all()
    assert rows.min() >= 128  # ReLU, and 0 is the middle of the steps
    torch.save({"pca_means": np.zeros(6)}, tmp_path / published.PCA_FILE)
    with pytest.raises(ValueError, match="holds pca_means, expected pca_eigen_vectors"):
        published.vggish_pca(str(tmp_path / "vggish.pth"))


@pytest.mark.parametrize(("factory", "rate_hz"), [("cnn14_16k", 16000), ("cnn14_32k", 32000)])
def test_cnn14(tmp_path, signal, factory, rate_hz):
    embedder = getattr(published, factory)(str(tmp_path))  # any path that exists
    network = panns(tmp_path / "Cnn14.pth", embedder.config)
    embedder = getattr(published, factory)(str(tmp_path / "Cnn14.pth"))
    embedder.load("cpu")
    clip = signal(rate_hz, 40000)
    with torch.inference_mode():
        embedding, logits = network(torch.from_numpy(clip)[None])
    (features,) = embedder.embed([clip])
    assert features.embeddings == pytest.approx(embedding.numpy(), abs=5e-5)
    assert features.logits == pytest.approx(logits[0].numpy(), abs=5e-5)
    assert (embedder.rate_hz, len(embedder.labels), embedder.thresholds.size) == (rate_hz, 527, 0)


@pytest.mark.slow
def test_clap_file_of_laion(tmp_path, signal):
    model = clap_file(tmp_path / "630k.pt")
    embedder = published.clap_630k(str(tmp_path / "630k.pt"))
    embedder.load("cpu")
    filled, theirs = published._build_clap_model(CLAP), model.state_dict()
    embedder.source.fill(filled, DERIVED)
    ours = filled.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    (features,) = embedder.embed([signal(48000, 100000)])
    assert features.embeddings.shape == (1, 12)


def test_clap_folder_of_transformers(tmp_path, monkeypatch):
    model = drawn(published._build_clap_model(CLAP))
    weights.save(tmp_path, model, CLAP)
    asked = []

    def locate(name):
        asked.append(name)
        if name == "clap-htsat-unfused":
            return tmp_path
        raise FileNotFoundError(f"'{name}' is missing")

    checked = []
    monkeypatch.setattr("stabench.checkpoints.store.locate", locate)
    monkeypatch.setattr(
        "stabench.checkpoints.store.verify", lambda path, entry: checked.append(entry.name)
    )
    embedder = published.clap_630k()
    embedder.load("cpu")
    assert checked == ["clap-htsat-unfused"]
    assert asked == ["clap-630k-audioset-best", "clap-htsat-unfused"]
    assert embedder.origin == "published: clap-htsat-unfused"
    assert embedder.licence == "Apache-2.0"
    assert isinstance(embedder.source, Folder)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    older = published.clap_630k()
    older.load("cpu")
    captions = ["a dog", "rain"]
    assert (older.embed_text(captions) == embedder.embed_text(captions)).all()


def rename(old, new):
    return lambda state: state.update({new: state.pop(old)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.update({"audio_branch.more.weight": torch.ones(1)}),
            r"left over audio_model\.audio_encoder\.more\.weight;",
        ),
        (
            rename("text_projection.2.bias", "text_projection.3.bias"),
            r"linear2\.bias \(is it text_projection\.3\.bias\?\); left over text_projection\.3",
        ),
        (
            lambda state: state.update({"audio_branch.patch_embed.mel_conv2d.bias": torch.ones(1)}),
            r"'audio_branch\.patch_embed\.mel_conv2d\.bias' belongs to a fusion network",
        ),
        (
            lambda state: state["audio_branch.logmel_extractor.melW"].mul_(2),
            r"'audio_branch\.logmel_extractor\.melW' differs from the front end",
        ),
        (
            lambda state: state.update({"audio_projection.0.bias": torch.ones(5)}),
            r"audio_projection\.linear1\.bias is \(5,\) instead of \(12,\)",
        ),
    ],
)
def test_a_clap_file_that_does_not_fit(tmp_path, change, message):
    clap_file(tmp_path / "clap.pt", change)
    with pytest.raises(ValueError, match=message):
        published.clap_music_speech(str(tmp_path / "clap.pt")).load("cpu")


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "Cnn14.pth"
    panns(path, Cnn14Config(**CHANNELS), surplus=torch.ones(2))
    with pytest.raises(ValueError, match="left over surplus;"):
        published.cnn14_16k(str(path)).load("cpu")
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"tensor 'model' is missing; fetch the published file"):
        published.cnn14_16k(str(path)).load("cpu")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="truncated"):
        published.cnn14_16k(str(path)).load("cpu")
    with pytest.raises(FileNotFoundError, match="'nowhere' are missing; give 'published', 'ran"):
        published.vggish("nowhere")


def test_published_weights_that_are_not_the_published_ones(tmp_path, monkeypatch):
    """A file of the right name and other bytes is refused before anything of it is read."""
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path))
    panns(tmp_path / "Cnn14_16k_mAP=0.438.pth", Cnn14Config(**CHANNELS))
    with pytest.raises(ValueError, match=r"truncated: \d+ of 358668570 bytes; delete it and run"):
        published.cnn14_16k()


def test_a_vocabulary_that_is_not_the_published_one(tmp_path, monkeypatch):
    """Other words give other ids, and a CLAP score that nobody can match."""
    monkeypatch.setenv("STABENCH_WEIGHTS", str(tmp_path / "weights"))
    folder = tmp_path / "weights" / "roberta-base"
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(ValueError, match=r"vocab.json is truncated: 2 of 898823 bytes"):
        TOKENS(tmp_path / "630k.pt")


def test_published_weights_that_are_not_here(monkeypatch):
    def locate(name):
        raise FileNotFoundError(f"weights '{name}' are not here; stabench weights fetch {name}")

    monkeypatch.setattr("stabench.checkpoints.store.locate", locate)
    for factory, name in (
        (published.vggish, "vggish"),
        (published.cnn14_32k, "cnn14-32k"),
        (published.clap_630k, "clap-630k-audioset-best"),
        (published.clap_music_speech, "clap-music-speech-audioset"),
    ):
        with pytest.raises(FileNotFoundError, match=f"fetch {name}$"):
            factory()


@pytest.mark.parametrize(
    "name", ["vggish", "vggish_pca", "cnn14_16k", "cnn14_32k", "clap_630k", "clap_music_speech"]
)
def test_random_weights_are_of_a_seed_and_say_so(name, signal):
    one, other = (getattr(published, name)("random") for _ in range(2))
    assert one.origin == "random, seed 0"
    assert (one.sha256, one.identity) == (other.sha256, other.identity)
    one.load("cpu")
    other.load("cpu")
    clips = [signal(one.rate_hz, 2 * one.rate_hz, seed=seed) for seed in (1, 2)]
    first, second = one.embed(clips), other.embed(clips)
    assert all((a.embeddings == b.embeddings).all() for a, b in zip(first, second, strict=True))
    assert (first[0].embeddings != first[1].embeddings).any()


def test_another_seed_is_another_network():
    one, other = (Seeded(lambda: Vggish(SMALL_VGGISH), seed) for seed in (0, 1))
    assert one.sha256 != other.sha256
    assert other.origin == "random, seed 1"
