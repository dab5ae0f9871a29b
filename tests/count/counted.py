"""Models in a line, and their records."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.tracing.trace import count_module


class Call(nn.Module):
    """A model that is one function of its layers and inputs."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *args, **kwargs):
        return self.function(self.layers, *args, **kwargs)


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def count(model, *args, **options):
    return count_module(model, args, name="model", **options)
