"""CLAP against laion_clap's on the same weights, and the embedder around it."""

import re

import numpy as np
import pytest
import torch

from metrics.contract import TextAudioEmbedder
from metrics.embedders import weights
from metrics.embedders.clap import ClapEmbedder, ClapFrontEnd, LogMel, Tokens, roberta_tokenizer

TEXT = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}
AUDIO = {
    "window_size": 4,
    "num_mel_bins": 32,
    "spec_size": 128,
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1],
    "num_attention_heads": [2, 4],
    "hidden_size": 32,
}
POCKET = ClapFrontEnd(rate_hz=16000, window=512, hop=160, mels=32, fmax=8000, longest_s=2)
PUBLISHED = (
    ("audio_model.audio_encoder.", "audio_branch."),
    ("batch_norm", "bn0"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.self.relative", "attn.relative"),
    ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("audio_projection.linear1", "audio_projection.0"),
    ("audio_projection.linear2", "audio_projection.2"),
)


def tokenizer(captions: list[str]) -> Tokens:
    """A byte is a token; 1 is padding."""
    ids = np.ones((len(captions), 30), dtype=np.int64)
    for row, caption in zip(ids, captions, strict=True):
        codes = [0, *(4 + byte for byte in caption.encode()[:28]), 2]
        row[: len(codes)] = codes
    return Tokens(ids, (ids != 1).astype(np.int64))


def model(text_scale: float = 15.0, **audio):
    """A small random ClapModel; transformers' own scale makes all captions nearly the same."""
    from transformers import ClapConfig, ClapModel

    torch.manual_seed(0)
    config = ClapConfig(text_config=TEXT, audio_config=AUDIO | audio, projection_dim=16)
    network = ClapModel(config)
    with torch.no_grad():
        for weight in network.text_model.encoder.parameters():
            weight *= text_scale
    return network


def saved(folder, network, front_end=POCKET):
    weights.save(folder, network, network.config.to_json_string(use_diff=False))
    return ClapEmbedder(folder, tokenizer, front_end)


@pytest.fixture
def embedder(tmp_path):
    embedder = saved(tmp_path, model())
    embedder.load("cpu")
    return embedder


def published(name, shape, pseudo):
    """The pseudo-random tensor under the name that laion_clap gives it; q, k, v are one there."""
    for ours, theirs in PUBLISHED:
        name = name.replace(ours, theirs)
    part = re.search(r"attention\.self\.(query|key|value)", name)
    if not part:
        return pseudo(name, shape)
    whole = pseudo(name.replace(part[0], "attn.qkv"), (3 * shape[0], *shape[1:]))
    return np.split(whole, 3)[("query", "key", "value").index(part[1])]


def test_full_size_audio_branch_against_laion_clap(parity, signal, pseudo):
    from transformers import ClapConfig, ClapModel

    network = ClapModel(ClapConfig()).eval()
    state = network.state_dict()
    for name, own in state.items():
        if name.startswith("audio_") and own.is_floating_point():
            state[name] = torch.from_numpy(published(name, tuple(own.shape), pseudo))
    network.load_state_dict(state)
    for quantised, kind in ((True, "quantised"), (False, "float")):
        front_end = ClapFrontEnd(quantised=quantised)
        samples = torch.from_numpy(front_end.fixed_length(signal(48000, 120000)))[None]
        with torch.inference_mode():
            mel = LogMel(front_end)(samples)
            row = network.get_audio_features(input_features=mel).pooler_output.numpy()
        assert row == pytest.approx(parity("frontend")[f"clap_tiny_pseudo_512_{kind}"], abs=1e-6)


def test_front_end_against_laion_clap(parity, signal):
    arrays = parity("frontend")
    samples = ClapFrontEnd().fixed_length(signal(48000, 120000))
    assert (samples[:2000] == arrays["clap_quantised_first2000"]).all()
    mel = LogMel(ClapFrontEnd())(torch.from_numpy(samples)[None])[0, 0, ::16].numpy()
    assert mel == pytest.approx(arrays["clap_logmel_every4th_frame"], abs=1e-3)


def test_repeats_whole_then_pads_and_keeps_the_beginning_of_a_long_clip():
    front_end = ClapFrontEnd(rate_hz=10, longest_s=1, quantised=False)
    three = np.array([1, 2, 3], np.float32)
    assert front_end.fixed_length(three).tolist() == [1, 2, 3] * 3 + [0]
    assert front_end.fixed_length(np.arange(25)).tolist() == list(range(10))


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(embedder, signal):
    clips = [signal(16000, n, seed=n) for n in (32000, 9000, 60000)]
    for clip, features in zip(clips, embedder.embed(clips), strict=True):
        (alone,) = embedder.embed([clip])
        assert features.embeddings.shape == (1, 16)
        assert np.linalg.norm(features.embeddings) == pytest.approx(1, abs=1e-5)
        assert features.embeddings == pytest.approx(alone.embeddings, abs=1e-5)
    captions = [f"caption {index}" for index in range(11)]
    together = embedder.embed_text(captions)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(11), abs=1e-5)
    assert together[10] == pytest.approx(embedder.embed_text(captions[10:])[0], abs=1e-5)


def test_contract(embedder):
    assert isinstance(embedder, TextAudioEmbedder)
    assert (embedder.rate_hz, len(embedder.sha256)) == (16000, 64)


@pytest.mark.parametrize("zeros", [False, True])
def test_a_broken_text_branch_is_refused(tmp_path, zeros):
    network = model(text_scale=1.0)
    with torch.no_grad():
        network.text_projection.linear2.weight *= 0 if zeros else 1
    with pytest.raises(ValueError, match=r"have cosine (0\.99|1\.00)\d+, expected under 0.95"):
        saved(tmp_path, network).load("cpu")


def test_a_fusion_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match="enable_fusion is true"):
        saved(tmp_path, model(enable_fusion=True)).load("cpu")


def test_index_tensors_may_be_absent_but_nothing_else(tmp_path):
    network = model()
    embedder = saved(tmp_path, network)
    del network.text_model.embeddings.position_ids
    weights.save(tmp_path, network, network.config.to_json_string(use_diff=False))
    embedder.load("cpu")
    del network.audio_projection.linear2.bias
    weights.save(tmp_path, network, network.config.to_json_string(use_diff=False))
    with pytest.raises(ValueError, match=r"Missing key.*audio_projection\.linear2\.bias"):
        embedder.load("cpu")


def test_a_tokenizer_that_is_not_whole_is_refused(tmp_path):
    """Offline, transformers makes a tokenizer of five entries out of nothing."""
    with pytest.raises((ValueError, OSError), match=r"expected 50265|tokenizer|file"):
        roberta_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("clip", "message"), [(np.zeros(0), "waveform 0: shape is"), ([np.nan] * 9, "holds NaN")]
)
def test_broken_clips(embedder, clip, message):
    with pytest.raises(ValueError, match=message):
        embedder.embed([np.array(clip, np.float32)])
