"""Layers of low rank in another's place: two for a 1x1 or a linear one, three for a larger kernel (Tucker-2)."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.errors import UsageError


def can_be_factored(module: nn.Module) -> bool:
    """A linear layer, or a 2d convolution of one group whose padding is of zeros."""
    if isinstance(module, nn.Linear):
        return True
    return isinstance(module, nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros"


def is_pair(module: nn.Module) -> bool:
    """Whether it becomes two layers: what mixes channels alone."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))


def factors_of(module: nn.Module, ranks: tuple[int, ...], path: str) -> nn.Sequential:
    """New layers of the ranks, on the module's device and in its dtype, their weights not set.

    Raises UsageError where the module can't be factored, or not to so many ranks, or they save nothing.
    """
    if not can_be_factored(module) or not _saves(module, ranks):
        raise UsageError(
            f"its map makes {path}, a {type(module).__name__}, of ranks {', '.join(map(str, ranks))}", where="map",
            fix="name the network that the checkpoint was made from",
        )  # fmt: skip
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    bias = module.bias is not None
    with torch.device(weight.device):
        if isinstance(module, nn.Linear):
            layers: list[nn.Module] = [
                nn.Linear(module.in_features, ranks[0], bias=False), nn.Linear(ranks[0], module.out_features, bias=bias)
            ]  # fmt: skip
        else:
            assert isinstance(module, nn.Conv2d)
            layers = _convolutions(module, ranks, bias)
    return nn.Sequential(*layers).to(weight.dtype).train(module.training)


def _saves(module: nn.Module, ranks: tuple[int, ...]) -> bool:
    """Whether ranks are as many as the module's form has, and below break-even."""
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    outputs, inputs = weight.shape[:2]
    if is_pair(module):
        return len(ranks) == 1 and ranks[0] * (outputs + inputs) < weight.numel()
    if len(ranks) != 2:
        return False
    first, last = ranks
    kernel = weight.shape[2] * weight.shape[3]
    return (
        first <= inputs and last <= outputs and first * inputs + first * last * kernel + last * outputs < weight.numel()
    )


def _convolutions(conv: nn.Conv2d, ranks: tuple[int, ...], bias: bool) -> list[nn.Module]:
    """Of a pair the first has the stride and padding, of three the one between has all of the kernel."""
    first, last = ranks[0], ranks[-1]
    out = nn.Conv2d(last, conv.out_channels, 1, bias=bias)
    if len(ranks) == 1:
        strided = nn.Conv2d(conv.in_channels, first, 1, stride=_pair(conv.stride), padding=_padding(conv), bias=False)
        return [strided, out]
    into = nn.Conv2d(conv.in_channels, first, 1, bias=False)
    core = nn.Conv2d(
        first, last, _pair(conv.kernel_size), stride=_pair(conv.stride), padding=_padding(conv),
        dilation=_pair(conv.dilation), bias=False,
    )  # fmt: skip
    return [into, core, out]


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    height, width = sizes
    return height, width


def _padding(conv: nn.Conv2d) -> str | tuple[int, int]:
    return conv.padding if isinstance(conv.padding, str) else _pair(conv.padding)
