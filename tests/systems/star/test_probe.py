"""The MLP of Table 1: the sizes of the authors' code, and a mean that padding does not move."""

import numpy as np
import pytest
import torch
from torch import nn

from stabench.systems.star.probe import DEPTHS, MlpConfig, MlpProbe


@pytest.mark.parametrize(("layers", "count"), [(1, 1_591_823), (2, 2_643_471)])
def test_parameters_at_full_size(layers, count):
    with torch.device("meta"):
        probe = MlpProbe(MlpConfig(layers=layers))
    assert sum(parameter.numel() for parameter in probe.parameters()) == count
    assert layers in DEPTHS


def small(**changes) -> MlpProbe:
    torch.manual_seed(0)
    return MlpProbe(MlpConfig(encoder_width=6, hidden=8, classes=5, **changes)).eval()


def test_padding_changes_nothing_whatever_it_holds():
    frames, mask = torch.randn(3, 7, 6), torch.arange(9) < torch.tensor([[7], [4], [1]])
    padded = torch.full((3, 9, 6), float("inf"))
    padded[:, :7] = frames
    with torch.inference_mode():
        logits = small()(padded, mask)
        alone = [small()(frames[row : row + 1, :count]) for row, count in enumerate((7, 4, 1))]
    torch.testing.assert_close(logits, torch.cat(alone), rtol=0, atol=1e-6)


def test_the_mean_over_padding_is_the_authors():
    frames, mask = torch.randn(1, 4, 6), torch.tensor([[True, False, False, False]])
    probe = small(mean_over_padding=True)
    np.testing.assert_array_equal(probe.pool(frames, mask), frames.mean(1))
    assert not torch.equal(small().pool(frames, mask), frames.mean(1))


def test_layers_stand_in_the_order_of_the_authors_code():
    kinds = [type(layer) for layer in small(layers=2).layers]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.Dropout, nn.ReLU]
    assert kinds == [*hidden, *hidden, nn.Linear]


def test_an_mlp_without_a_hidden_layer_is_refused():
    with pytest.raises(ValueError, match=r"mlp\.layers is 0"):
        MlpConfig(layers=0)
