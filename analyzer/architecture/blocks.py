"""One function a block, stem, transition: what a layer computes, written once.

A block is a function `(net, x, layer) -> Value` under `@block(name, …)`; nothing else changes when one is added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.architecture.families import DENSENET, RESNET, VOVNET, Family
from analyzer.architecture.registry import BLOCKS as BLOCKS
from analyzer.architecture.wiring import Layer, StageFunction, chain, cross_stage, harmonic, log_dense

if TYPE_CHECKING:
    from analyzer.architecture.facts import Value
    from analyzer.architecture.net import Net

BlockFunction = Callable[["Net", "Value", Layer], "Value"]


@dataclass(frozen=True, slots=True)
class BlockType:
    """A registered block: its function, its module class name, its family, and how its hidden width is said."""

    name: str
    kind: str
    layer: BlockFunction
    family: Family
    ratio: float | None
    bn_size: int | None
    inplace: bool
    window_pool: bool
    stage: StageFunction

    @property
    def has_hidden(self) -> bool:
        """Whether the block has a hidden width at all."""
        return self.ratio is not None or self.bn_size is not None

    @property
    def says(self) -> str:
        """What it is in a sentence: its function's, or where it is the stage that is special, the stage's."""
        words = (self.layer if self.stage is chain else self.stage).__doc__ or ""
        return " ".join(words.split("\n\n")[0].split())


def block(
    name: str,
    *,
    kind: str,
    family: Family = DENSENET,
    ratio: float | None = None,
    bn_size: int | None = None,
    inplace: bool = True,
    window_pool: bool = False,
    stage: StageFunction = chain,
) -> Callable[[BlockFunction], BlockFunction]:
    """Registers a block function under `name`, a lower-case word.

    `kind` is the class name of the layer's module. `ratio` or `bn_size` is the default of its hidden width (none:
    the block has no hidden width). `inplace` says whether ReLUs outside the layers are in place, `window_pool` how the
    image is averaged before the classifier (see GlobalPool): what the network that it comes from does. `family` is
    the assembly that it goes into, see families.py. `stage` joins
    the layers of a densenet stage: see wiring.py.
    """

    def register(function: BlockFunction) -> BlockFunction:
        BLOCKS[name] = BlockType(name, kind, function, family, ratio, bn_size, inplace, window_pool, stage)
        return function

    return register


@block("residual", kind="ResidualBlock", ratio=0.25, inplace=False, window_pool=True)
def residual(net: Net, x: Value, layer: Layer) -> Value:
    """The article's layer, a pre-activation ResNet bottleneck: 1x1, 3x3, 1x1, concatenated after its input."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.relu("relu2", net.norm("norm2", y))
    y = net.conv("conv2", y, layer.hidden, layer.kernel, groups=layer.groups)
    y = net.conv("conv3", net.relu("relu3", net.norm("norm3", y)), layer.growth)
    return net.concat(x, net.dropout(y, layer.drop))


@block("dense", kind="DenseLayer", bn_size=4)
def dense(net: Net, x: Value, layer: Layer) -> Value:
    """DenseNet-B's layer (Huang et al. 2017, §3): 1x1, 3x3, concatenated after its input."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.relu("relu2", net.norm("norm2", y))
    y = net.conv("conv2", y, layer.growth, layer.kernel, groups=layer.groups)
    return net.concat(x, net.dropout(y, layer.drop))


@block("basic", kind="BasicLayer")
def basic(net: Net, x: Value, layer: Layer) -> Value:
    """The first DenseNet's layer (Huang et al. 2017, §3): one 3x3, concatenated after its input."""
    y = net.relu("relu1", net.norm("norm1", x))
    y = net.conv("conv1", y, layer.growth, layer.kernel, groups=layer.groups)
    return net.concat(x, net.dropout(y, layer.drop))


@block("bottleneck", kind="Bottleneck", family=RESNET, ratio=0.25)
def bottleneck(net: Net, x: Value, layer: Layer) -> Value:
    """ResNet's layer (He et al. 2015, v1.5 as torchvision): 1x1, 3x3 (strided), 1x1, added to its input."""
    y = net.relu("relu1", net.norm("bn1", net.conv("conv1", x, layer.hidden)))
    y = net.conv("conv2", y, layer.hidden, layer.kernel, stride=layer.stride, groups=layer.groups)
    y = net.norm("bn3", net.conv("conv3", net.relu("relu2", net.norm("bn2", y)), layer.growth))
    identity = x
    if layer.first:
        with net.scope("downsample", "Sequential"):
            identity = net.norm("1", net.conv("0", x, layer.growth, stride=layer.stride))
    return net.relu("relu3", net.add(y, identity))


# -- levers: other ways to spend parameters in a dense layer -----------------------------------------------------


def dense_features(net: Net, x: Value, layer: Layer) -> Value:
    """DenseNet-B's layer without its concatenation: the new features alone."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.relu("relu2", net.norm("norm2", y))
    return net.dropout(net.conv("conv2", y, layer.growth, layer.kernel, groups=layer.groups), layer.drop)


block("logdense", kind="DenseLayer", bn_size=4, stage=log_dense)(dense_features)
block("harmonic", kind="DenseLayer", bn_size=4, stage=harmonic)(dense_features)
block("csp", kind="DenseLayer", bn_size=4, stage=cross_stage)(dense)


@block("separable", kind="SeparableLayer", bn_size=4)
def separable(net: Net, x: Value, layer: Layer) -> Value:
    """DenseNet-B's layer with its 3x3 made depthwise and pointwise (Howard et al. 2017): 1x1, 3x3 depthwise, 1x1."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.conv("conv2", net.relu("relu2", net.norm("norm2", y)), layer.hidden, layer.kernel, groups=layer.hidden)
    y = net.conv("conv3", y, layer.growth)
    return net.concat(x, net.dropout(y, layer.drop))


@block("shuffle", kind="ShuffleLayer", bn_size=4)
def shuffle(net: Net, x: Value, layer: Layer) -> Value:
    """Grouped 3x3 whose groups are mixed before it by a channel shuffle (Zhang et al. 2018); set the groups."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.shuffle(net.relu("relu2", net.norm("norm2", y)), layer.groups)
    y = net.conv("conv2", y, layer.growth, layer.kernel, groups=layer.groups)
    return net.concat(x, net.dropout(y, layer.drop))


@block("squeeze", kind="SqueezeLayer", bn_size=4)
def squeeze(net: Net, x: Value, layer: Layer) -> Value:
    """DenseNet-B's layer with squeeze-and-excitation of its new features (Hu et al. 2018), reduced to a quarter."""
    y = dense_features(net, x, layer)
    with net.scope("se", "SqueezeExcitation"):
        factors = net.conv("fc1", net.global_pool(y), layer.growth // 4, bias=True)
        factors = net.sigmoid(net.conv("fc2", net.relu("relu", factors), layer.growth, bias=True))
        y = net.scale(y, factors)
    return net.concat(x, y)


@block("lowrank", kind="LowRankLayer", bn_size=4)
def lowrank(net: Net, x: Value, layer: Layer) -> Value:
    """DenseNet-B's layer with its 1x1 as a pair of rank hidden/4: 1x1 to a quarter, 1x1 up, 3x3."""
    y = net.conv("conv1a", net.relu("relu1", net.norm("norm1", x)), layer.hidden // 4)
    y = net.conv("conv1b", y, layer.hidden)
    y = net.conv("conv2", net.relu("relu2", net.norm("norm2", y)), layer.growth, layer.kernel, groups=layer.groups)
    return net.concat(x, net.dropout(y, layer.drop))


@block("add", kind="ResidualBlock", ratio=0.25, inplace=False, window_pool=True)
def add(net: Net, x: Value, layer: Layer) -> Value:
    """The article's layer at its ResNet end: a stage's first layer concatenates, the others add to their input."""
    y = net.conv("conv1", net.relu("relu1", net.norm("norm1", x)), layer.hidden)
    y = net.relu("relu2", net.norm("norm2", y))
    y = net.conv("conv2", y, layer.hidden, layer.kernel, groups=layer.groups)
    y = net.relu("relu3", net.norm("norm3", y))
    y = net.dropout(net.conv("conv3", y, layer.growth if layer.first else x.channels), layer.drop)
    return net.concat(x, y) if layer.first else net.add(y, x, inplace=False)


@block("vovnet", kind="OneShotAggregation", family=VOVNET, ratio=0.25)
def vovnet(net: Net, x: Value, layer: Layer) -> Value:
    """VoVNet's module (Lee et al. 2019): five 3x3 in a row, all concatenated once after the input, and a 1x1."""
    outputs = [x]
    for i in range(1, 6):
        y = net.conv(f"conv{i}", outputs[-1], layer.hidden, layer.kernel, groups=layer.groups)
        outputs.append(net.relu(f"relu{i}", net.norm(f"norm{i}", y)))
    y = net.conv("conv_concat", net.concat(*outputs), layer.growth)
    return net.relu("relu_concat", net.norm("norm_concat", y))
