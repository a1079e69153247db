"""A checkpoint in the layout of STAR's authors becomes our bridge and DiT, tensor by tensor."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stabench.checkpoints.random_weights import hollow
from stabench.systems.networks.checkpoint import load_part, part_file
from stabench.systems.networks.udit import UDiT
from stabench.systems.star.bridge import Bridge
from stabench.systems.star.config import StarConfig
from stabench.systems.star.published_weights import convert_checkpoint, split_star_state
from tests.systems.star.test_bridge import published_keys

LINEAR = ("weight", "bias")


def published_udit_keys(blocks: int) -> Iterator[str]:
    """Names in the authors' DiT: `blocks` in, one in the middle, as many out."""
    for name in ("patch_embed.proj", "time_embed.mlp.0", "time_embed.mlp.2", "time_ada"):
        yield from (f"{name}.{leaf}" for leaf in LINEAR)
    for name in ("time_ada_final", "context_embed.0", "context_embed.2"):
        yield from (f"{name}.{leaf}" for leaf in LINEAR)
    for name in ("norm", "linear", "final_layer"):
        yield from (f"final_block.{name}.{leaf}" for leaf in LINEAR)
    sides = [f"{side}_blocks.{index}" for side in ("in", "out") for index in range(blocks)]
    for block in (*sides, "mid_block"):
        for kind in ("attn", "cross_attn"):
            yield from (f"{block}.{kind}.{name}.weight" for name in ("to_q", "to_k", "to_v"))
            for name in ("norm_q", "norm_k", "proj"):
                yield from (f"{block}.{kind}.{name}.{leaf}" for leaf in LINEAR)
        yield f"{block}.attn.rotary.inv_freq"
        names = ("norm1", "norm2", "norm_context", "norm3", "mlp.net.0.proj", "mlp.net.2")
        skips = ("skip_norm", "skip_linear") if block.startswith("out") else ()
        for name in (*names, *skips):
            yield from (f"{block}.{name}.{leaf}" for leaf in LINEAR)
        yield from (f"{block}.adaln.{name}.weight" for name in ("lora_a", "lora_b"))
        yield f"{block}.adaln.scale_shift_table"


def make_state(config: StarConfig, prefix: str) -> dict[str, Tensor]:
    """A random checkpoint: the authors' names, the shapes of the small networks."""
    assert config.bridge is not None
    bridge, udit = Bridge(config.bridge), UDiT(config.udit)
    shapes = {key: value.shape for key, value in udit.state_dict().items()}
    state = {f"backbone.{key}": torch.randn(shapes[key]) for key in published_udit_keys(2)}
    ours = bridge.state_dict()
    for key in published_keys():
        name = key.replace("audio_Qformer.bert.", "qformer.").replace("hiddin_", "")
        name = name.replace("embeddings.LayerNorm", "layernorm").replace(".self.", ".attention.")
        name = name.replace("audio_query_tokens", "query_tokens")
        known = name in ours and not key.startswith("projection.")
        state[f"{prefix}{key}"] = torch.randn(ours[name].shape if known else (3,))
    return state


def test_the_full_size_dit_has_the_authors_names_and_no_other():
    udit = hollow(lambda: UDiT(StarConfig().udit))
    keys = [*published_udit_keys(12)]
    assert len(keys) == 918
    assert {*keys} == {*udit.state_dict()}


@pytest.mark.parametrize("prefix", ["", "content_encoder.", "a.b."])
def test_every_tensor_reaches_its_place(small_config, tmp_path, prefix):
    state = make_state(small_config, prefix)
    path, folder = tmp_path / "star.pt", tmp_path / "star"
    torch.save({"state_dict": state, "epoch": 100}, path)
    parts = convert_checkpoint(path, folder, small_config)
    assert parts.left_over == ()
    bridge, udit = Bridge(small_config.bridge), UDiT(small_config.udit)
    for name, network in (("bridge", bridge), ("udit", udit)):
        load_part(part_file(folder, name), network)
    for key, value in udit.state_dict().items():
        assert torch.equal(value, state[f"backbone.{key}"]), key
    written, layer = bridge.state_dict(), "encoder.layer.0"
    for ours, theirs in {
        "query_tokens": "audio_query_tokens",
        "projection.weight": "hiddin_projection.weight",
        "qformer.layernorm.bias": "audio_Qformer.bert.embeddings.LayerNorm.bias",
        f"qformer.{layer}.crossattention.attention.key.weight": (
            f"audio_Qformer.bert.{layer}.crossattention.self.key.weight"
        ),
        f"qformer.{layer}.intermediate_query.dense.bias": (
            f"audio_Qformer.bert.{layer}.intermediate_query.dense.bias"
        ),
    }.items():
        assert torch.equal(written[ours], state[f"{prefix}{theirs}"]), ours


def test_parts_that_a_checkpoint_lacks_are_not_written(small_config, tmp_path):
    state = make_state(small_config, "")
    bridge = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    torch.save(bridge, tmp_path / "stage1.pt")
    convert_checkpoint(tmp_path / "stage1.pt", tmp_path / "stage1", small_config)
    assert [path.name for path in (tmp_path / "stage1").iterdir()] == ["bridge.safetensors"]
    dit = {key: value for key, value in state.items() if key.startswith("backbone.")}
    parts = split_star_state({**dit, "vae.decoder.weight": torch.zeros(1)})
    assert (parts.bridge, parts.left_over) == ({}, ("vae.decoder.weight",))
    assert len(parts.udit) == len(dit)


def test_what_does_not_fit_writes_nothing(small_config, tmp_path):
    state = make_state(small_config, "")
    state["backbone.patch_embed.proj.weight"] = torch.zeros(3, 3, 1)
    torch.save({"model": state}, tmp_path / "star.pt")
    with pytest.raises(ValueError, match=r"star\.pt, udit: .*proj\.weight is \(3, 3, 1\)"):
        convert_checkpoint(tmp_path / "star.pt", tmp_path / "star", small_config)
    assert not (tmp_path / "star").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "there are no tensor"),
        (("decoder.weight", "a", "b", "c"), "there are decoder.weight, a, b; give"),
        (("x.audio_query_tokens", "y.audio_query_tokens"), "2 tensors end in audio_query_tokens"),
    ],
)
def test_another_checkpoint_is_refused_in_one_line(names, message):
    with pytest.raises(ValueError, match=message) as error:
        split_star_state({name: torch.zeros(1) for name in names})
    assert "\n" not in str(error.value)
