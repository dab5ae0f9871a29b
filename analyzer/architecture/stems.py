"""What stands before the stages and between them: stems, image -> (init) channels, and DenseNet's transition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from analyzer.architecture.registry import STEMS as STEMS

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim
    from analyzer.architecture.facts import Value
    from analyzer.architecture.net import Net


class StemNames(NamedTuple):
    """Module names of a stem; a family has its own."""

    conv: str
    norm: str
    relu: str
    pool: str


def imagenet_stem(net: Net, x: Value, init: Dim, names: StemNames, *, inplace: bool) -> Value:
    """7x7 stride 2, BN, ReLU, 3x3 max pool stride 2."""
    y = net.conv(names.conv, x, init, 7, stride=2, padding=3)
    y = net.relu(names.relu, net.norm(names.norm, y), inplace=inplace)
    return net.max_pool(names.pool, y, 3, stride=2, padding=1)


def deep_stem(net: Net, x: Value, init: Dim, names: StemNames, *, inplace: bool) -> Value:
    """ResNet-C's (He et al. 2019, §4.1): 3x3 stride 2, 3x3, 3x3 of init//2, init//2, init; max pool stride 2."""
    half = init // 2
    for i, (out, stride) in enumerate([(half, 2), (half, 1), (init, 1)]):
        x = net.conv(f"{names.conv}_{i}", x, out, 3, stride=stride)
        x = net.relu(f"{names.relu}_{i}", net.norm(f"{names.norm}_{i}", x), inplace=inplace)
    return net.max_pool(names.pool, x, 3, stride=2, padding=1)


def small_stem(net: Net, x: Value, init: Dim, names: StemNames, *, inplace: bool) -> Value:
    """One 3x3 without stride or pool, as DenseNet's CIFAR networks (Huang et al. 2017, §3): for small images."""
    return net.conv(names.conv, x, init, 3)


def strided_stem(net: Net, x: Value, init: Dim, names: StemNames, *, inplace: bool) -> Value:
    """VoVNet's (Lee et al. 2019): 3x3 stride 2, 3x3, 3x3 stride 2 of init//2, init//2, init; no pool."""
    half = init // 2
    for i, (out, stride) in enumerate([(half, 2), (half, 1), (init, 2)]):
        x = net.conv(f"{names.conv}_{i}", x, out, 3, stride=stride)
        x = net.relu(f"{names.relu}_{i}", net.norm(f"{names.norm}_{i}", x), inplace=inplace)
    return x


STEMS.update(imagenet=imagenet_stem, deep=deep_stem, small=small_stem, strided=strided_stem)


def transition(net: Net, x: Value, out: Dim, *, inplace: bool) -> Value:
    """Between dense blocks: BN, ReLU, 1x1, 2x2 average pool."""
    y = net.conv("conv", net.relu("relu", net.norm("norm", x), inplace=inplace), out)
    return net.avg_pool("pool", y, 2, stride=2)
