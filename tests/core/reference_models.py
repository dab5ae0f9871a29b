"""Networks written by hand as plain torch modules, from the papers' and the article's facts; nothing of analyzer."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Sequential):
    """The article's dense layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.add_module("norm1", nn.BatchNorm2d(width))
        self.add_module("relu1", nn.ReLU(inplace=True))
        self.add_module("conv1", nn.Conv2d(width, hidden, 1, bias=False))
        self.add_module("norm2", nn.BatchNorm2d(hidden))
        self.add_module("relu2", nn.ReLU(inplace=True))
        self.add_module("conv2", nn.Conv2d(hidden, hidden, 3, padding="same", bias=False))
        self.add_module("norm3", nn.BatchNorm2d(hidden))
        self.add_module("relu3", nn.ReLU(inplace=True))
        self.add_module("conv3", nn.Conv2d(hidden, width, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, super().forward(x)], 1)


class DenseBlock(nn.Sequential):
    """The article's dense block: every layer doubles the width."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        for i in range(depth):
            self.add_module(f"denselayer{i + 1}", ResidualBlock(width * 2**i, int(width * 2**i / 4)))


class Transition(nn.Sequential):
    def __init__(self, width: int, out: int, inplace: bool = False) -> None:
        super().__init__()
        self.add_module("norm", nn.BatchNorm2d(width))
        self.add_module("relu", nn.ReLU(inplace=inplace))
        self.add_module("conv", nn.Conv2d(width, out, 1, bias=False))
        self.add_module("pool", nn.AvgPool2d(2, stride=2))


class ArticleDenseNet(nn.Module):
    """The article's network, its fixed 7x7 pool included."""

    def __init__(
        self, depths: tuple[int, ...] = (2, 4, 3, 2), width: int = 64, classes: int = 2, pool: int = 7
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(stem(width, inplace=False))
        for i, depth in enumerate(depths, 1):
            self.features.add_module(f"denseblock{i}", DenseBlock(depth, width))
            width *= 2**depth
            if i < len(depths):
                self.features.add_module(f"transition{i}", Transition(width, int(width * 0.5)))
                width = int(width * 0.5)
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.features.add_module("relu5", nn.ReLU())
        self.classifier = nn.Linear(width, classes)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(self.features(x), self.pool, stride=1)
        return self.classifier(x.view(x.size(0), -1))


ArticleDenseNet.__name__ = "DenseNet"


def stem(width: int, inplace: bool) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        conv0=nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        norm0=nn.BatchNorm2d(width),
        relu0=nn.ReLU(inplace=inplace),
        pool0=nn.MaxPool2d(3, stride=2, padding=1),
    )


class ListDenseLayer(nn.Module):
    """torchvision's dense layer: it gets the list of all features before it."""

    def __init__(self, width: int, growth: int, bn_size: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(width, bn_size * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        joined = torch.cat(features, 1)  # a name, as torchvision has it: it lives until the layer returns
        y = self.conv1(self.relu1(self.norm1(joined)))
        return self.conv2(self.relu2(self.norm2(y)))


class ListDenseBlock(nn.ModuleDict):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class ListDenseNet(nn.Module):
    """DenseNet in torchvision's layout and coding."""

    def __init__(
        self,
        depths: tuple[int, ...] = (6, 12, 24, 16),
        growth: int = 32,
        width: int = 64,
        bn_size: int = 4,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(stem(width, inplace=True))
        for i, depth in enumerate(depths, 1):
            block = ListDenseBlock()
            for j in range(depth):
                block[f"denselayer{j + 1}"] = ListDenseLayer(width + j * growth, growth, bn_size)
            self.features.add_module(f"denseblock{i}", block)
            width += depth * growth
            if i < len(depths):
                self.features.add_module(f"transition{i}", Transition(width, width // 2, inplace=True))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Bottleneck(nn.Module):
    """torchvision's ResNet v1.5 bottleneck."""

    def __init__(self, inputs: int, planes: int, stride: int, project: bool, groups: int, base_width: int) -> None:
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, planes * 4, 1, stride, bias=False), nn.BatchNorm2d(planes * 4)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + identity)


class ResNet(nn.Module):
    """ResNet in torchvision's layout."""

    def __init__(self, depths: tuple[int, ...], groups: int = 1, base_width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, depth in enumerate(depths):
            planes = 64 * 2**i
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(Bottleneck(inputs, planes, stride, j == 0, groups, base_width))
                inputs = planes * 4
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name, module in self.named_children():
            if name.startswith("layer"):
                x = module(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))
