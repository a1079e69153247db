"""Packed layers against the plain ones of PyTorch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stabench.metrics.embedders import prepacked


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("channels", "shape"),
    [((3, 8), (2, 3, 9, 5)), ((8, 16), (1, 8, 31, 2)), ((6, prepacked.WIDE), (2, 6, 5, 2))],
)
def test_convolution(channels, shape, precision):
    torch.manual_seed(0)
    plain = nn.Conv2d(*channels, 3, padding=1)
    maps = torch.randn(shape)
    with torch.inference_mode():
        run = prepacked.convolution(plain.weight.detach(), plain.bias.detach(), precision)
        expected = F.relu(plain(maps))
        assert run(maps).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
        last = maps.contiguous(memory_format=torch.channels_last)
        assert run(last).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
def test_linear(activation, bias, precision):
    torch.manual_seed(0)
    plain = nn.Linear(20, 7, bias=bias)
    after = {"none": nn.Identity(), "relu": nn.ReLU(), "gelu": nn.GELU()}[activation]
    for shape in ((1, 20), (5, 20), (2, 3, 20)):
        rows = torch.randn(shape)
        with torch.inference_mode():
            ours = prepacked.pack_linear(plain, activation, precision)(rows)
            assert ours.numpy() == pytest.approx(after(plain(rows)).numpy(), abs=5e-6)


def test_folded_batch_norm():
    torch.manual_seed(0)
    plain, norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    maps = torch.randn(2, 3, 6, 5)
    with torch.inference_mode():
        weight, bias = prepacked.fold_norm(plain, norm)
        ours = F.conv2d(maps, weight, bias, padding=1)
        assert ours.numpy() == pytest.approx(norm(plain(maps)).numpy(), abs=1e-5)
