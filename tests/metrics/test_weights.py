"""A weights folder: written whole, read strictly, missing with a clear word."""

import hashlib

import pytest
import torch
from torch import nn

from stabench.metrics.embedders import weights
from stabench.metrics.embedders.vggish import VggishConfig, VggishEmbedder


def test_round_trip(tmp_path):
    torch.manual_seed(0)
    weights.save(tmp_path / "new", nn.Linear(3, 2), "{}")
    other = nn.Linear(3, 2)
    weights.load_into(other, tmp_path / "new")
    torch.manual_seed(0)
    assert torch.equal(other.weight, nn.Linear(3, 2).weight)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    content = (tmp_path / "new" / "model.safetensors").read_bytes()
    assert weights.sha256(tmp_path / "new") == hashlib.sha256(content).hexdigest()


def test_weights_of_another_size(tmp_path):
    weights.save(tmp_path, nn.Linear(3, 2), "{}")
    with pytest.raises(
        ValueError, match=r"do not fit Linear: .*weight is \(2, 3\) instead of \(4, 3\);"
    ):
        weights.load_into(nn.Linear(3, 4), tmp_path)
    with pytest.raises(ValueError, match=r"do not fit Linear: left over bias;"):
        weights.load_into(nn.Linear(3, 2, bias=False), tmp_path)


def test_a_damaged_file(tmp_path):
    weights.save(tmp_path, nn.Linear(3, 2), "{}")
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file"):
        weights.load_into(nn.Linear(3, 2), tmp_path)


def test_of_many_names_the_first_are_told(tmp_path):
    weights.save(tmp_path, nn.Sequential(), "{}")
    with pytest.raises(ValueError, match=r"missing 0\.weight, 0\.bias, 1\.weight and 3 more;"):
        weights.load_into(nn.Sequential(*(nn.Linear(1, 1) for _ in range(3))), tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing; a weights folder"):
        VggishEmbedder(tmp_path / "nowhere")
    embedder = VggishEmbedder(tmp_path, VggishConfig(channels=(2, 2, 2, 2), hidden=4))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such weights"):
        embedder.load("cpu")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such weights"):
        _ = embedder.sha256
