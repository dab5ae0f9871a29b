"""Variant -> Net, by the assembly of its block's family; and the named presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analyzer.architecture.axes import AXES, VariantFields
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.dims import is_array
from analyzer.architecture.net import Net
from analyzer.architecture.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Columns(VariantFields):
    """Many variants of one structure: where Variant has a number, an int64 (float64) array of variants may stand.

    Arrays have one axis, or each one of its own along which it varies, and NumPy spreads them over all combinations.
    `init` is an array; where it is none, the columns are one variant. What `Axis.structure` says of a value is one for
    all; but depths may be arrays too where figures are counted, not replayed. Nothing is validated.
    """


def trace(variant: Variant | Columns, *, short: bool = False) -> Net:
    """The network of one variant, or of a chunk of variants at once.

    Raises ArchitectureError where a single variant makes no network; in array form see `Net.invalid`. With `short` a
    repetition's layers may be recorded as one: see `Net.regular`, and an IrregularError where none can.
    """
    net = Net(vector=is_array(variant.init), short=short)
    block = BLOCKS[variant.block]
    net.layer_kind = block.kind
    net.root.kind = block.family.kind
    block.family.assemble(net, net.input(3, variant.image), variant, block)
    net.close()
    return net


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
    return _NAMES.get(variant)


_NAMES = {preset: name for name, preset in PRESETS.items()}
