"""How the layers of a dense stage are joined: one function a wiring, given to `@block(…, stage=…)`.

A wiring gets the stage's input, its depth, and `layer_at(x, i)`: what the variant says about layer i for input x. It
runs `block.layer` in a scope for each layer and returns the stage's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analyzer.architecture.dims import Dim, scaled

if TYPE_CHECKING:
    from analyzer.architecture.axes import VariantFields
    from analyzer.architecture.blocks import BlockType
    from analyzer.architecture.dims import LayerNumber
    from analyzer.architecture.facts import Value
    from analyzer.architecture.net import Net

HARMONIC_FACTOR = 1.6


@dataclass(frozen=True, slots=True)
class Layer:
    """What a block function is told: widths (Dim), the variant's own axes, stride.

    `growth` is how many channels the layer adds (in a ResNet or VoVNet, its output width); `hidden` the width inside
    it; `of` has every axis of the variant (of the columns), such as the 3x3's kernel; `first` whether it opens its
    stage.
    """

    growth: Dim
    hidden: Dim
    of: VariantFields
    stride: int = 1
    first: bool = False

    @property
    def kernel(self) -> Dim:
        """Of the 3x3 convolution."""
        return self.of.kernel

    @property
    def groups(self) -> Dim:
        """Of the 3x3 convolution."""
        return self.of.groups

    @property
    def drop(self) -> float:
        """The dropout rate after the layer."""
        return self.of.drop


LayerAt = Callable[["Value", "LayerNumber | int"], Layer]
StageFunction = Callable[["Net", "Value", int, LayerAt, "BlockType"], "Value"]


def _layer(net: Net, x: Value, i: LayerNumber | int, layer: Layer, block: BlockType) -> Value:
    with net.scope(f"denselayer{i + 1}", block.kind):
        return block.layer(net, x, layer)


def chain(net: Net, x: Value, depth: int, layer_at: LayerAt, block: BlockType) -> Value:
    """Each layer gets the one before it, which concatenates (DenseNet) or adds for itself."""
    return net.repeat(x, depth, lambda x, i: _layer(net, x, i, layer_at(x, i), block))


def _joined(net: Net, xs: list[Value]) -> Value:
    return xs[0] if len(xs) == 1 else net.concat(*xs)


def log_dense(net: Net, x: Value, depth: int, layer_at: LayerAt, block: BlockType) -> Value:
    """LogDenseNet (Hu et al. 2017): layer i gets the outputs 1, 2, 4, 8, … before it, and so does the transition."""
    outputs = [x]

    def gathered() -> Value:
        return _joined(net, [outputs[len(outputs) - 2**k] for k in range(len(outputs).bit_length())])

    for i in range(depth):
        inputs = gathered()
        outputs.append(_layer(net, inputs, i, layer_at(inputs, i), block))
    return gathered()


def harmonic(net: Net, x: Value, depth: int, layer_at: LayerAt, block: BlockType) -> Value:
    """HarDNet (Chao et al. 2019, §3): layer l gets layers l - 2^n for each 2^n that divides l; its width is growth x
    1.6^n for the largest such n, made even. The stage gives its odd layers and the last.
    """
    outputs = [x]
    for number in range(1, depth + 1):
        links = [number - 2**n for n in range(number.bit_length()) if number % 2**n == 0]
        inputs = _joined(net, [outputs[link] for link in links])
        layer = layer_at(inputs, number - 1)
        power = (number & -number).bit_length() - 1
        width = layer.growth if power == 0 else (scaled(layer.growth, HARMONIC_FACTOR**power) + 1) // 2 * 2
        outputs.append(_layer(net, inputs, number - 1, replace(layer, growth=width), block))
    return _joined(net, [y for n, y in enumerate(outputs) if n % 2 == 1 or n == depth])


def cross_stage(net: Net, x: Value, depth: int, layer_at: LayerAt, block: BlockType) -> Value:
    """CSPNet (Wang et al. 2020, §3.1): half of the channels pass by; the rest goes through the dense layers and a
    partial transition (BN, ReLU, 1x1 to half its width), and both are concatenated.
    """
    aside, inside = net.split(x, x.channels // 2)
    inside = chain(net, inside, depth, layer_at, block)
    inside = net.conv("conv", net.relu("relu", net.norm("norm", inside)), inside.channels // 2)
    return net.concat(aside, inside)
