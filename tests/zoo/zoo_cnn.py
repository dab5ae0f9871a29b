"""Convolutional networks, each from its definition's facts, its multiply-accumulates worked out beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from zoo_entry import conv_bn, entry


@entry("cnn", (1, 1, 32, 32), macs=28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10)
def lenet5():
    """LeCun et al. 1998."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


@entry(
    "cnn",
    (1, 3, 224, 224),
    macs=55**2 * 64 * 3 * 121 + 27**2 * 192 * 64 * 25 + 13**2 * 9 * (384 * 192 + 256 * 384 + 256 * 256)
    + 9216 * 4096 + 4096 * 4096 + 4096 * 1000,
)  # fmt: skip
def alexnet():
    """Krizhevsky 2014, the one-column form: 714 M multiply-accumulates, as published with torchvision's weights."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096),
        nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip


@entry(
    "cnn",
    (1, 3, 64, 64),
    macs=9 * (64**2 * 3 * 64 + 32**2 * 64 * 128 + 16**2 * (128 * 256 + 256**2) + 8**2 * (256 * 512 + 512**2)
              + 4**2 * 2 * 512**2) + 2048 * 10,
)  # fmt: skip
def vgg11():
    """Simonyan and Zisserman 2014, configuration A, for 64-pixel images."""
    layers, channels = [], 3
    for width in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 4, 10))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.conv2 = conv_bn(i, o, 3, stride), conv_bn(o, o, act=False)
        self.down = conv_bn(i, o, 1, stride, act=False) if stride != 1 or i != o else None

    def forward(self, x):
        return F.relu(self.conv2(self.conv1(x)) + (x if self.down is None else self.down(x)))


@entry(
    "cnn",
    (1, 3, 224, 224),
    macs=112**2 * 64 * 3 * 49 + 56**2 * 4 * 9 * 64 * 64
    + sum(s**2 * (9 * c * c // 2 + 3 * 9 * c * c + c * c // 2) for s, c in ((28, 128), (14, 256), (7, 512)))
    + 512 * 1000,
)  # fmt: skip
def resnet18():
    """He et al. 2015."""
    stages = [Basic(64, 64, 1), Basic(64, 64, 1)]
    for i, o in ((64, 128), (128, 256), (256, 512)):
        stages += [Basic(i, o, 2), Basic(o, o, 1)]
    stem = [conv_bn(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


@entry("cnn", (2, 64, 14, 14), macs=2 * 14**2 * (64 * 128 + 128 * 4 * 9 + 128 * 64))
class ResNeXtBlock(nn.Module):
    """Xie et al. 2016: 1x1, 3x3 in 32 groups, 1x1."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn(64, 128, 1), conv_bn(128, 128, 3, g=32), conv_bn(128, 64, 1, act=False))

    def forward(self, x):
        return F.relu(x + self.body(x))


@entry(
    "cnn",
    (1, 3, 32, 32),
    macs=16**2 * (16 * 27 + 16 * 9 + 16 * 32) + 8**2 * (32 * 9 + 32 * 64) + 64 * 10,
)
def mobilenet_v1():
    """Howard et al. 2017, three layers: depthwise 3x3, then 1x1."""
    return nn.Sequential(
        conv_bn(3, 16, 3, 2), conv_bn(16, 16, g=16), conv_bn(16, 32, 1), conv_bn(32, 32, 3, 2, g=32),
        conv_bn(32, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


@entry("cnn", (1, 24, 28, 28), macs=28**2 * (24 * 144 + 144 * 9 + 144 * 24))
class InvertedResidual(nn.Module):
    """Sandler et al. 2018: 1x1 up 6 times, depthwise 3x3, 1x1 down, added."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn(24, 144, 1), conv_bn(144, 144, g=144), conv_bn(144, 24, 1, act=False))

    def forward(self, x):
        return x + self.body(x)


@entry("cnn", (3, 32, 16, 16), macs=3 * (16**2 * 32 * 32 * 9 + 32 * 8 + 8 * 32))
class SqueezeExcite(nn.Module):
    """Hu et al. 2017: a 3x3, its channels weighted by two linear layers on their means."""

    def __init__(self):
        super().__init__()
        self.conv, self.down, self.up = conv_bn(32, 32), nn.Linear(32, 8), nn.Linear(8, 32)

    def forward(self, x):
        x = self.conv(x)
        weight = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * weight[:, :, None, None]


@entry("cnn", (1, 64, 27, 27), macs=27**2 * (64 * 16 + 16 * 64 + 16 * 64 * 9))
class Fire(nn.Module):
    """Iandola et al. 2016: squeeze to 16, expand by 1x1 and 3x3."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(64, 16, 1)
        self.one, self.three = nn.Conv2d(16, 64, 1), nn.Conv2d(16, 64, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


@entry("cnn", (1, 192, 28, 28), macs=28**2 * (192 * 64 + 192 * 96 + 96 * 128 * 9 + 192 * 16 + 16 * 32 * 25 + 192 * 32))
class Inception(nn.Module):
    """Szegedy et al. 2014, module 3a, with its 5x5."""

    def __init__(self):
        super().__init__()
        self.one = conv_bn(192, 64, 1)
        self.three = nn.Sequential(conv_bn(192, 96, 1), conv_bn(96, 128))
        self.five = nn.Sequential(conv_bn(192, 16, 1), conv_bn(16, 32, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(192, 32, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


@entry("cnn", (1, 116, 14, 14), macs=14**2 * (58 * 58 + 58 * 9 + 58 * 58))
class ShuffleUnit(nn.Module):
    """Ma et al. 2018: half of the channels pass, half are convolved, then all are shuffled."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv_bn(58, 58, 1), conv_bn(58, 58, g=58, act=False), conv_bn(58, 58, 1))

    def forward(self, x):
        left, right = x.chunk(2, 1)
        return F.channel_shuffle(torch.cat([left, self.body(right)], 1), 2)


@entry("cnn", (1, 16, 20, 20), macs=20**2 * (16 * 4 + 4 * 4 * 9 + 4 * 16))
class SamePadding(nn.Module):
    """A residual dense layer: 1x1, 3x3 with padding="same", 1x1, concatenated."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding="same"), nn.ReLU(), nn.Conv2d(4, 16, 1)
        )

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


@entry("cnn", (1, 32, 16, 16), macs=16**2 * (32 * 8 * (1 + 9 + 9) + 32 * 8) + 32 * 8)
class ASPP(nn.Module):
    """Chen et al. 2017: dilated branches beside a pooled one, whose batch normalisation gets one value a channel."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(
            [nn.Conv2d(32, 8, 1)] + [nn.Conv2d(32, 8, 3, padding=d, dilation=d) for d in (2, 4)]
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn(32, 8, 1))
        self.merge = nn.Conv2d(32, 8, 1)

    def forward(self, x):
        pooled = F.interpolate(self.pooled(x), size=x.shape[2:], mode="bilinear")
        return self.merge(torch.cat([*(branch(x) for branch in self.branches), pooled], 1))


@entry("cnn", (2, 100, 1, 1), macs=2 * (100 * 64 * 16 + 4**2 * 64 * 32 * 16 + 8**2 * 32 * 3 * 16))
def dcgan_generator():
    """Radford et al. 2015: transposed convolutions, each weight once an input position."""
    return nn.Sequential(
        nn.ConvTranspose2d(100, 64, 4, 1, 0), nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


@entry(
    "cnn",
    (1, 1, 32, 32),
    macs=32**2 * 9 * (1 * 8 + 16 * 8) + 16**2 * 9 * 8 * 16 + 16**2 * 16 * 8 * 4 + 32**2 * 8 * 2,
)
class UNet(nn.Module):
    """Ronneberger et al. 2015, one level: down, up by a transposed convolution, joined by the skip."""

    def __init__(self):
        super().__init__()
        self.first, self.low, self.last = conv_bn(1, 8), conv_bn(8, 16), conv_bn(16, 8)
        self.up, self.head = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        skip = self.first(x)
        return self.head(self.last(torch.cat([skip, self.up(self.low(F.max_pool2d(skip, 2)))], 1)))


@entry("cnn", (1, 16, 14, 14), macs=14**2 * (16 * 16 + 16 * 9))
class Ghost(nn.Module):
    """Han et al. 2020: half of the outputs by a 1x1, half by a depthwise 3x3 of those."""

    def __init__(self):
        super().__init__()
        self.primary, self.cheap = conv_bn(16, 16, 1), conv_bn(16, 16, g=16)

    def forward(self, x):
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], 1)


@entry("cnn", (2, 24, 14, 14), macs=2 * 14**2 * (24 * 49 + 2 * 24 * 96))
class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022: depthwise 7x7, then two linear layers with channels last, scaled, added."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(24, 24, 7, padding=3, groups=24), nn.LayerNorm(24)
        self.up, self.down, self.scale = nn.Linear(24, 96), nn.Linear(96, 24), nn.Parameter(torch.ones(24))

    def forward(self, x):
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


@entry("cnn", (1, 8, 10, 10), macs=10**2 * 8 * 18 * 9 + 10**2 * 8 * 12 * 9)
class DeformableGather(nn.Module):
    """Dai et al. 2017 in spirit: offsets by a 3x3, pixels gathered where they point, then a matrix product."""

    def __init__(self):
        super().__init__()
        self.offset, self.weight = nn.Conv2d(8, 18, 3, padding=1), nn.Parameter(torch.zeros(12, 8 * 9))

    def forward(self, x):
        n, c, h, w = x.shape
        move = self.offset(x).round().long().clamp(0, h * w - 1)[:, :9].flatten(1)
        picked = x.flatten(2).gather(2, move[:, None].expand(n, c, 9 * h * w))
        return (self.weight @ picked.view(n, c * 9, h * w)).view(n, 12, h, w)


@entry("cnn", (1, 1, 24, 24), macs=24**2 * (16 * 25 + 16 * 9 * 9))
def espcn():
    """Shi et al. 2016: super-resolution by pixel shuffle, 3 times."""
    return nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 9, 3, padding=1), nn.PixelShuffle(3))


@entry("cnn", (2, 8, 12, 12), macs=2 * 12**2 * 8 * 16 * 9)
class WeightStandardized(nn.Conv2d):
    """Qiao et al. 2019: the weight is normalised before each convolution."""

    def __init__(self):
        super().__init__(8, 16, 3, padding=1)

    def forward(self, x):
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / deviation, self.bias)


@entry("cnn", (1, 32, 16, 16), macs=16**2 * (2 * 32 * 16 + 2 * 16 * 16 * 9 + 32 * 32))
class CrossStage(nn.Module):
    """Wang et al. 2019 (CSPNet): one half through two 3x3, one half past them, merged by a 1x1."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.merge = conv_bn(32, 16, 1), conv_bn(32, 16, 1), conv_bn(32, 32, 1)
        self.body = nn.Sequential(conv_bn(16, 16), conv_bn(16, 16))

    def forward(self, x):
        return self.merge(torch.cat([self.left(x), self.body(self.right(x))], 1))


@entry("1d", (2, 6, 40), macs=2 * 40 * 3 * (6 * 16 + 16 * 16))
class TemporalConv(nn.Module):
    """Bai et al. 2018: causal dilated 1d convolutions, padded on the left by hand."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(6, 16, 3, dilation=1), nn.Conv1d(16, 16, 3, dilation=2)])

    def forward(self, x):
        for conv in self.convs:
            x = F.relu(conv(F.pad(x, (2 * conv.dilation[0], 0))))
        return x


@entry("1d", (1, 8, 32), macs=32 * (2 * 8 * 8 * 2 + 8 * 8))
class WaveNetLayer(nn.Module):
    """van den Oord et al. 2016: a gated pair of kernel 2, then a 1x1, added."""

    def __init__(self):
        super().__init__()
        self.filter, self.gate, self.out = nn.Conv1d(8, 8, 2), nn.Conv1d(8, 8, 2), nn.Conv1d(8, 8, 1)

    def forward(self, x):
        past = F.pad(x, (1, 0))
        return x + self.out(torch.tanh(self.filter(past)) * torch.sigmoid(self.gate(past)))


@entry("3d", (1, 3, 8, 16, 16), macs=8 * 16**2 * 3 * 8 * 27 + 8 * 8**2 * 8 * 16 * 27 + 16 * 4 * 4 * 4 * 10)
def c3d():
    """Tran et al. 2014, two layers."""
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool3d(2), nn.Flatten(), nn.Linear(16 * 4 * 4 * 4, 10),
    )  # fmt: skip


@entry("3d", (1, 8, 4, 12, 12), macs=4 * 12**2 * (8 * 18 * 9 + 18 * 8 * 3))
def r2plus1d():
    """Tran et al. 2018: space, then time."""
    space = nn.Conv3d(8, 18, (1, 3, 3), padding=(0, 1, 1), bias=False)
    return nn.Sequential(space, nn.BatchNorm3d(18), nn.ReLU(), nn.Conv3d(18, 8, (3, 1, 1), padding=(1, 0, 0)))


@entry(
    "cnn",
    (1, 1, 28, 28),
    macs=22**2 * 8 * 49 + 8 * 11**2 * 6 + 28**2 * 2 * 3 + 28**2 * 4,
    convention=True,
)
class SpatialTransformer(nn.Module):
    """Jaderberg et al. 2015: an affine map found by the network, then bilinear sampling, 4 products a pixel."""

    def __init__(self):
        super().__init__()
        self.find = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 11 * 11, 6))

    def forward(self, x):
        theta = self.find(x).view(-1, 2, 3)
        return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)
