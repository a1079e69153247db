"""The Q-Former bridge: masks, and the authors' key names."""

import pytest
import torch

from stabench.systems.star.bridge import Bridge, BridgeClassifier, from_star_state_dict

LINEAR = ("weight", "bias")
SELF = [f"self.{part}.{leaf}" for part in ("query", "key", "value") for leaf in LINEAR]
OUTPUT = [f"output.{part}.{leaf}" for part in ("dense", "LayerNorm") for leaf in LINEAR]


def published_keys() -> list[str]:
    """Keys of the authors' stage-1 checkpoint (two layers, cross-attention in the first)."""
    keys = ["embeddings.position_ids", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"]
    for layer in (0, 1):
        stem = f"encoder.layer.{layer}"
        keys += [f"{stem}.attention.{name}" for name in SELF + OUTPUT]
        if layer == 0:
            keys += [f"{stem}.crossattention.{name}" for name in SELF + OUTPUT]
        keys += [f"{stem}.intermediate_query.dense.{leaf}" for leaf in LINEAR]
        keys += [f"{stem}.{name.replace('output', 'output_query', 1)}" for name in OUTPUT]
    keys = [f"audio_Qformer.bert.{key}" for key in keys]
    outside = [f"{name}.{leaf}" for name in ("hiddin_projection", "projection") for leaf in LINEAR]
    return [*keys, "audio_query_tokens", *outside]


@pytest.fixture
def bridge(bridge_config, disturb):
    return disturb(Bridge(bridge_config)).eval()


def test_appended_padding_changes_nothing(bridge):
    frames = torch.randn(2, 30, 32)
    mask = torch.arange(30) < torch.tensor([[30], [17]])
    padded = bridge(frames, mask)
    torch.testing.assert_close(padded[1:], bridge(frames[1:, :17]), atol=1e-5, rtol=1e-5)
    frames[1, 17:] = 1e3
    assert torch.equal(padded, bridge(frames, mask))


@torch.inference_mode()
@pytest.mark.parametrize("extra", [1, 16, 483])
@pytest.mark.parametrize("read", ["forward", "padded"])
def test_padding_of_any_length_and_content_is_not_read(bridge, read, extra):
    """Its content changes no bit; its length only the order in which float64 sums are rounded."""
    bridge = bridge.double()
    frames, mask = torch.randn(3, 17, 32).double(), torch.ones(3, 17, dtype=torch.bool)
    alone = bridge(frames)
    mask = torch.cat([mask, torch.zeros(3, extra, dtype=torch.bool)], 1)
    zeros, noise, loud = torch.zeros(3, extra, 32), torch.randn(3, extra, 32), 1e6
    tokens = [
        getattr(bridge, read)(torch.cat([frames, padding.double()], 1), mask)
        for padding in (zeros, noise, noise * loud)
    ]
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(tokens[0], tokens[2])
    torch.testing.assert_close(tokens[0], alone, atol=1e-13, rtol=0)


def test_the_speech_matters(bridge):
    one, other = bridge(torch.randn(1, 9, 32)), bridge(torch.randn(1, 9, 32))
    assert (one - other).abs().max() > 0.01


def test_published_keys_fill_the_bridge_exactly(bridge):
    mapped = from_star_state_dict({key: torch.zeros(()) for key in published_keys()})
    assert mapped.keys() == bridge.state_dict().keys()


def test_mapped_values_keep_their_owner():
    values = {key: torch.tensor(float(index)) for index, key in enumerate(published_keys())}
    mapped = from_star_state_dict(values)
    layer = "encoder.layer.0"
    assert (
        mapped[f"qformer.{layer}.crossattention.attention.key.weight"]
        == values[f"audio_Qformer.bert.{layer}.crossattention.self.key.weight"]
    )
    assert mapped["projection.weight"] == values["hiddin_projection.weight"]


def test_classifier_reads_the_mean_token():
    classifier, tokens = BridgeClassifier(32, 5), torch.randn(3, 8, 32)
    shuffled = tokens[:, torch.randperm(8)]
    torch.testing.assert_close(classifier(tokens), classifier(shuffled))
    assert classifier(tokens).shape == (3, 5)
