"""Variant -> Net: the only place where stages are assembled; and the named presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from analyzer.architecture.axes import AXES, VariantFields
from analyzer.architecture.blocks import BLOCKS, STEMS, BlockType, StemNames, transition
from analyzer.architecture.net import Net, is_array, scaled
from analyzer.architecture.ops import Dim, Value
from analyzer.architecture.variant import Variant
from analyzer.architecture.wiring import Layer, LayerAt


@dataclass(frozen=True, kw_only=True)
class Columns(VariantFields):
    """Many variants of one structure: where Variant has a number, an int64 (float64) array of variants may stand.

    `init` is an array; where it is none, the columns are one variant. What `Axis.structure` says of a value is one for
    all. Nothing is validated.
    """


def trace(variant: Variant | Columns) -> Net:
    """The network of one variant, or of a chunk of variants at once.

    Raises ArchitectureError where a single variant makes no network; in array form see `Net.invalid`.
    """
    net = Net(vector=is_array(variant.init))
    block = BLOCKS[variant.block]
    net.layer_kind = block.kind
    assemble = {"densenet": _densenet, "resnet": _resnet, "vovnet": _vovnet}[block.family]
    assemble(net, net.input(3, variant.image), variant, block)
    net.close()
    return net


def _densenet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """Huang et al. 2017: stem, dense blocks with transitions between, BN, ReLU, global pool, classifier."""
    net.root.kind = "DenseNet"
    inplace = block.inplace
    with net.scope("features", "Sequential"):
        x = STEMS[v.stem](net, x, v.init, StemNames("conv0", "norm0", "relu0", "pool0"), inplace=inplace)
        for stage, depth in enumerate(v.block_config):
            with net.scope(f"denseblock{stage + 1}", "DenseBlock"):
                x = block.stage(net, x, depth, _dense_layers(v, stage), block)
            if stage + 1 < len(v.block_config):
                with net.scope(f"transition{stage + 1}", "Transition"):
                    x = transition(net, x, scaled(x.channels, _at(v.compression, stage)), inplace=inplace)
        x = net.relu("relu5", net.norm("norm5", x), inplace=inplace)
    net.linear("classifier", net.flatten(net.global_pool(x, window=block.window_pool)), v.classes)


def _at(value: Any, stage: int) -> Any:
    """A stage's value of an axis that may be said once or for each stage."""
    return value[stage] if isinstance(value, tuple) else value


def _dense_layers(v: Variant | Columns, stage: int) -> LayerAt:
    """What the variant says about a dense stage's layers. Widths that are one for the stage are computed once."""
    growth, ratio = _at(v.growth, stage), _at(v.ratio, stage)
    fixed = None if v.bn_size is None or isinstance(growth, str) else v.bn_size * growth

    def layer_at(x: Value, i: int) -> Layer:
        grow = x.channels if isinstance(growth, str) else growth
        if ratio is not None:
            hidden = scaled(x.channels, ratio)
        else:
            hidden = fixed if fixed is not None or v.bn_size is None else v.bn_size * grow
        return Layer(grow, hidden, v, first=i == 0)

    return layer_at


def _resnet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """He et al. 2015: stem, stages of blocks, each after the first halving the image; global pool, classifier."""
    net.root.kind = "ResNet"
    names = StemNames("conv1", "bn1", "relu", "maxpool")
    x = STEMS[v.stem](net, x, v.init, names, inplace=True)
    if v.stem == "small":
        x = net.relu(names.relu, net.norm(names.norm, x))
    for stage, depth in enumerate(v.block_config):
        layer = _wide_layer(v, stage, 4 * v.init)
        with net.scope(f"layer{stage + 1}", "Sequential"):
            for i in range(depth):
                stride = 2 if i == 0 and stage > 0 else 1
                with net.scope(str(i), block.kind):
                    x = block.layer(net, x, replace(layer, stride=stride, first=i == 0))
    net.linear("fc", net.flatten(net.global_pool(x, "avgpool")), v.classes)


def _wide_layer(v: Variant | Columns, stage: int, first_width: Dim) -> Layer:
    """A layer whose growth is its output width: the stage's, or `first_width` doubled every stage."""
    width = _at(v.growth, stage)
    if isinstance(width, str):
        width = first_width * 2**stage
    hidden: Dim = v.bn_size * width if v.bn_size is not None else scaled(width, _at(v.ratio, stage))
    return Layer(width, hidden, v)


def _vovnet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """Lee et al. 2019: stem, stages of one-shot aggregations with 3x3 max pools between, global pool, classifier."""
    net.root.kind = "VoVNet"
    x = STEMS[v.stem](net, x, v.init, StemNames("stem_conv", "stem_norm", "stem_relu", "stem_pool"), inplace=True)
    for stage, depth in enumerate(v.block_config):
        layer = _wide_layer(v, stage, 2 * v.init)
        with net.scope(f"stage{stage + 1}", "Sequential"):
            if stage > 0:
                x = net.max_pool("pool", x, 3, stride=2, ceil=True)
            for i in range(depth):
                with net.scope(f"module{i + 1}", block.kind):
                    x = block.layer(net, x, layer)
    net.linear("classifier", net.flatten(net.global_pool(x)), v.classes)


def _densenet_preset(init: int, growth: int, *depths: int) -> Variant:
    return Variant(block="dense", block_config=depths, growth=growth, bn_size=4, init=init, classes=1000)


def _resnet_preset(*depths: int, ratio: float = 0.25, groups: int = 1) -> Variant:
    return Variant(block="bottleneck", block_config=depths, ratio=ratio, groups=groups, classes=1000)


PRESETS: dict[str, Variant] = {
    "article": Variant(),
    "densenet121": _densenet_preset(64, 32, 6, 12, 24, 16),
    "densenet161": _densenet_preset(96, 48, 6, 12, 36, 24),
    "densenet169": _densenet_preset(64, 32, 6, 12, 32, 32),
    "densenet201": _densenet_preset(64, 32, 6, 12, 48, 32),
    "resnet50": _resnet_preset(3, 4, 6, 3),
    "resnet101": _resnet_preset(3, 4, 23, 3),
    "wide_resnet50_2": _resnet_preset(3, 4, 6, 3, ratio=0.5),
    "resnext50_32x4d": _resnet_preset(3, 4, 6, 3, ratio=0.5, groups=32),
    "vovnet39a": Variant(
        block="vovnet",
        block_config=(1, 1, 2, 2),
        growth=(256, 512, 768, 1024),
        ratio=(0.5, 0.3125, 0.25, 0.21875),
        init=128,
        stem="strided",
        classes=1000,
    ),
}
"""The article's network (2 classes) and the published ones (1000 classes), all at 224 px."""


def densenet121_like(variant: Variant) -> Variant:
    """DenseNet121 at the classes and image of `variant`: what every comparison is against."""
    return replace(PRESETS["densenet121"], **{axis.field: getattr(variant, axis.field) for axis in AXES if axis.task})


def preset_name(variant: Variant) -> str | None:
    """The preset equal to `variant`, classes and image included; None where there is none."""
    return next((name for name, preset in PRESETS.items() if preset == variant), None)
