"""Networks to compress and images to learn from, made by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from analyzer import Variant
from analyzer.building.modules import build

TINY = Variant(block="residual", block_config=(2, 1), growth="double", ratio=0.5, init=8, image=16, stem="small")
CLASSES = ("dark", "light")


def roused(model: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model in evaluation mode with batch norms as training leaves them: no two channels alike, none at rest."""
    draw = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -0.2), (module.running_var, 0.5),
                                (module.running_mean, -0.5)):  # fmt: skip
                tensor.data.copy_(low + torch.rand(tensor.shape, generator=draw))
    return model.to(dtype).eval()


def network(variant: Variant, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    return roused(build(variant, seed=seed), seed, dtype)


class Mixed(nn.Module):
    """Outside the family: concatenation, a grouped and a depthwise convolution, an addition, two linear layers."""

    def __init__(self, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.left, self.right = nn.Conv2d(width, 8, 1), nn.Conv2d(width, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(20)
        self.grouped = nn.Sequential(
            nn.Conv2d(20, 24, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1, groups=4),
            nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24),
        )  # fmt: skip
        self.back = nn.Conv2d(24, 20, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden, self.head = nn.Linear(80, 10), nn.Linear(10, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        x = torch.relu(x + self.back(self.grouped(x)))
        return self.head(torch.relu(self.hidden(self.pool(x).flatten(1))))


def mixed(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return roused(Mixed(), seed)


def folder(path: Path, each: int = 16) -> Path:
    """`path/class/*.png` of 16 px: noise about a grey that is the class's."""
    for label, name in enumerate(CLASSES):
        (path / name).mkdir(parents=True)
        for number in range(each):
            draw = np.random.default_rng([label, number])
            pixels = np.clip(80 + 90 * label + draw.normal(0, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number:02}.png")
    return path


def state(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two states are the same, to the bit."""
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)
