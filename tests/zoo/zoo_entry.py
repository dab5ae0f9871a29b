"""What an entry of the zoo is, and how it registers itself. Needs torch alone: other counters' processes load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A model, its inputs (shape, or shape and dtype), and its multiply-accumulates by hand.

    `macs` is written as arithmetic of layer sizes in the entry; None where two counters that agree are the truth.
    `convention` marks figures that contain a convention (fft, sampling), which other counters needn't share.
    """

    name: str
    kind: str
    build: Callable[[], nn.Module]
    inputs: tuple[Any, ...]
    macs: int | None
    kwargs: dict[str, Any] = field(default_factory=dict)
    convention: bool = False
    values: bool = False  # needs real values: control flow reads them

    def tensors(self, device: str = "cpu") -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """Positional and keyword inputs: zeros, so that indices are valid."""
        return [_tensor(spec, device) for spec in self.inputs], {k: _tensor(v, device) for k, v in self.kwargs.items()}


ENTRIES: dict[str, Entry] = {}


def _tensor(spec: Any, device: str) -> torch.Tensor:
    shape, dtype = spec if isinstance(spec[0], tuple) else (spec, torch.float32)
    return torch.zeros(shape, dtype=dtype, device=device)


def entry(kind: str, *inputs: Any, macs: int | None, **options: Any) -> Callable[[Any], Any]:
    """Registers a model's class, or a function that makes one, under its own name."""

    def register(build: Any) -> Any:
        ENTRIES[build.__name__] = Entry(build.__name__, kind, build, inputs, macs, **options)
        return build

    return register


def conv_bn(i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


LONG = torch.int64
