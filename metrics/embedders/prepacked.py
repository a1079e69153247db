"""Convolutions and linear layers as inference wants them: laid out once, activation fused.

PyTorch brings a layer's weights into oneDNN's layout at every call, which at one clip a call costs
more than the arithmetic of CNN14. Here it is done at load, with the operators that torch.compile
emits for a CPU; on another device, in bfloat16 or without oneDNN the plain ones run.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = Callable[[Tensor], Tensor]
Activation = Literal["none", "relu", "gelu"]
ONE: list[int] = [1, 1]
PLAIN: dict[str, Layer] = {"none": lambda rows: rows, "relu": F.relu, "gelu": F.gelu}
# Output channels from which the weights outweigh the maps: oneDNN's convolution takes up to 2.7
# times as long as the product of patches and weights then (CNN14's last layer, one clip).
WIDE = 1024


def packable(weight: Tensor, precision: str) -> bool:
    """Return whether oneDNN computes with this weight here."""
    return (
        precision == "float32"
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )


def convolution(weight: Tensor, bias: Tensor, precision: str = "float32") -> Layer:
    """Return a 3x3 convolution with padding 1, bias and ReLU over maps [B, C, H, W]."""
    if not packable(weight, precision):
        weight = weight.contiguous(memory_format=torch.channels_last)
        return lambda maps: F.relu_(F.conv2d(maps, weight, bias, padding=1))
    if weight.shape[0] >= WIDE:
        return _convolve_patches(weight, bias)
    packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), ONE, ONE, ONE, 1)
    run = torch.ops.mkldnn._convolution_pointwise
    return lambda maps: run(maps, packed, bias, ONE, ONE, ONE, 1, "relu", [], "")


def linear(
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation = "none",
    precision: str = "float32",
) -> Layer:
    """Return rows [..., K] by weight [N, K], with bias and activation."""
    if not packable(weight, precision):
        after = PLAIN[activation]
        return lambda rows: after(F.linear(rows, weight, bias))
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    # oneDNN's GELU by the error function, as PyTorch's own; "tanh" would be the approximation.
    form = "none" if activation == "gelu" else ""
    run = torch.ops.mkldnn._linear_pointwise
    return lambda rows: run(rows, packed, bias, activation, [], form)


def pack_linear(
    layer: nn.Linear, activation: Activation = "none", precision: str = "float32"
) -> Layer:
    """Return `linear` with the tensors of a module."""
    bias = None if layer.bias is None else layer.bias.detach()
    return linear(layer.weight.detach(), bias, activation, precision)


def fold_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that also does what `norm` does in evaluation."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None, "a BatchNorm without running statistics"
    assert variance is not None
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    return weight.detach(), (norm.bias - mean * scale).detach()


def _convolve_patches(weight: Tensor, bias: Tensor) -> Layer:
    """Return `convolution` as one product of 3x3 patches, which few pixels keep small."""
    product = linear(weight.permute(0, 2, 3, 1).flatten(1), bias, "relu")

    def run(maps: Tensor) -> Tensor:
        padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        patches = padded.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 1, 2, 4, 5, 3)
        return product(patches.flatten(3)).permute(0, 3, 1, 2)

    return run
