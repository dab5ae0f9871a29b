"""The families of networks, and the only place where stages are assembled: each says its parts as it records them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from analyzer.architecture.dims import Dim, scaled
from analyzer.architecture.stems import STEMS, StemNames, transition
from analyzer.architecture.wiring import Layer

if TYPE_CHECKING:
    from analyzer.architecture.blocks import BlockType
    from analyzer.architecture.dims import LayerNumber
    from analyzer.architecture.facts import Value
    from analyzer.architecture.net import Net
    from analyzer.architecture.network import Columns
    from analyzer.architecture.repeating import LayerFunction
    from analyzer.architecture.variant import Variant
    from analyzer.architecture.wiring import LayerAt


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a network is put together, and which of a variant's fields mean something in it.

    kind: the class name of its module. compression: the default share that a transition keeps; without transitions it
    is 1 and can't be another. assemble: records a variant, or columns of them, from the image on.
    """

    name: str
    kind: str
    has_transitions: bool
    has_dropout: bool
    compression: float
    assemble: Callable[[Net, Value, Variant | Columns, BlockType], None]


def _at(value: Any, stage: int) -> Any:
    """A stage's value of an axis that may be said once or for each stage."""
    return value[stage] if isinstance(value, tuple) else value


def _densenet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """Huang et al. 2017: stem, dense blocks with transitions between, BN, ReLU, global pool, classifier."""
    inplace = block.inplace
    alike = None if v.bn_size is None or isinstance(v.growth, (str, tuple)) else v.bn_size * v.growth
    with net.scope("features", "Sequential"):
        with net.part("stem"):
            x = STEMS[v.stem](net, x, v.init, StemNames("conv0", "norm0", "relu0", "pool0"), inplace=inplace)
        for stage, depth in enumerate(v.block_config):
            with net.part("stage", stage + 1), net.scope(f"denseblock{stage + 1}", "DenseBlock"):
                x = block.stage(net, x, depth, _dense_layers(v, stage, alike), block)
            if stage + 1 < len(v.block_config):
                with net.part("transition", stage + 1), net.scope(f"transition{stage + 1}", "Transition"):
                    x = transition(net, x, scaled(x.channels, _at(v.compression, stage)), inplace=inplace)
        with net.part("head"):
            x = net.relu("relu5", net.norm("norm5", x), inplace=inplace)
    with net.part("head"):
        net.linear("classifier", net.flatten(net.global_pool(x, window=block.window_pool)), v.classes)


def _dense_layers(v: Variant | Columns, stage: int, alike: Dim | None) -> LayerAt:
    """What the variant says about a dense stage's layers. Widths that are one for the stage are computed once.

    `alike` is the hidden width where it is one for all stages.
    """
    growth, ratio = _at(v.growth, stage), _at(v.ratio, stage)
    bn_size: Dim | None = v.bn_size
    fixed = alike
    if alike is None and bn_size is not None and not isinstance(growth, str):
        fixed = bn_size * growth

    def layer_at(x: Value, i: LayerNumber | int) -> Layer:
        grow: Dim = x.channels if isinstance(growth, str) else growth
        hidden = grow  # of a block without a hidden width
        if ratio is not None:
            hidden = scaled(x.channels, ratio)
        elif bn_size is not None:
            hidden = bn_size * grow if fixed is None else fixed
        return Layer(grow, hidden, v, first=i == 0)

    return layer_at


def _resnet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """He et al. 2015: stem, stages of blocks, each after the first halving the image; global pool, classifier."""
    names = StemNames("conv1", "bn1", "relu", "maxpool")
    with net.part("stem"):
        x = STEMS[v.stem](net, x, v.init, names, inplace=True)
        if v.stem == "small":
            x = net.relu(names.relu, net.norm(names.norm, x))
    for stage, depth in enumerate(v.block_config):
        layer = _wide_layer(v, stage, 4 * v.init)
        with net.part("stage", stage + 1), net.scope(f"layer{stage + 1}", "Sequential"):
            x = net.repeat(x, depth, _bottlenecks(net, block, layer, stride=1 if stage == 0 else 2))
    with net.part("head"):
        net.linear("fc", net.flatten(net.global_pool(x, "avgpool")), v.classes)


def _bottlenecks(net: Net, block: BlockType, layer: Layer, *, stride: int) -> LayerFunction:
    def record(x: Value, i: LayerNumber | int) -> Value:
        with net.scope(str(i), block.kind):
            return block.layer(net, x, replace(layer, stride=stride if i == 0 else 1, first=i == 0))

    return record


def _wide_layer(v: Variant | Columns, stage: int, first_width: Dim) -> Layer:
    """A layer whose growth is its output width: the stage's, or `first_width` doubled every stage."""
    width = _at(v.growth, stage)
    if isinstance(width, str):
        width = first_width * 2**stage
    hidden: Dim = v.bn_size * width if v.bn_size is not None else scaled(width, _at(v.ratio, stage))
    return Layer(width, hidden, v)


def _vovnet(net: Net, x: Value, v: Variant | Columns, block: BlockType) -> None:
    """Lee et al. 2019: stem, stages of one-shot aggregations with 3x3 max pools between, global pool, classifier."""
    with net.part("stem"):
        x = STEMS[v.stem](net, x, v.init, StemNames("stem_conv", "stem_norm", "stem_relu", "stem_pool"), inplace=True)
    for stage, depth in enumerate(v.block_config):
        layer = _wide_layer(v, stage, 2 * v.init)
        with net.part("stage", stage + 1), net.scope(f"stage{stage + 1}", "Sequential"):
            if stage > 0:
                x = net.max_pool("pool", x, 3, stride=2, ceil=True)
            x = net.repeat(x, depth, _modules(net, block, layer))
    with net.part("head"):
        net.linear("classifier", net.flatten(net.global_pool(x)), v.classes)


def _modules(net: Net, block: BlockType, layer: Layer) -> LayerFunction:
    def record(x: Value, i: LayerNumber | int) -> Value:
        with net.scope(f"module{i + 1}", block.kind):
            return block.layer(net, x, layer)

    return record


DENSENET = Family(
    name="densenet", kind="DenseNet", has_transitions=True, has_dropout=True, compression=0.5, assemble=_densenet
)
RESNET = Family(
    name="resnet", kind="ResNet", has_transitions=False, has_dropout=False, compression=1.0, assemble=_resnet
)
VOVNET = Family(
    name="vovnet", kind="VoVNet", has_transitions=False, has_dropout=False, compression=1.0, assemble=_vovnet
)
