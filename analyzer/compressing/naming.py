"""Which variant a compressed network is, where it is one: of the same family, narrower."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError
from analyzer.reading.exact import total

Shapes = Mapping[str, tuple[int, ...]]
_LAYER = re.compile(r"(features\.denseblock|layer|stage)(\d+)\.(denselayer1|module1|0)\.(\w+)\.weight")


def variant_of(model: nn.Module, parent: Variant) -> Variant | None:
    """The variant whose tensors are all of the shapes of a network that was cut out of a parent; None: it is none."""
    from analyzer.building.modules import build

    shapes, params = shapes_of(model), sum(parameter.numel() for parameter in model.parameters())
    for variant in dict.fromkeys(_candidates(shapes, parent)):
        try:
            alike = int(total(trace(variant)).params) == params  # soon known, where it is not
            if alike and shapes_of(build(variant, device="meta")) == shapes:
                return variant
        except AnalyzerError:
            continue
    return None


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a model's tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _candidates(shapes: Shapes, parent: Variant) -> Iterator[Variant]:
    """Variants that its stem and the first layers of its stages look like; the parent's own fields first."""
    layers: dict[int, list[tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        found = _LAYER.fullmatch(name)
        if found is not None and len(shape) == 4:
            layers.setdefault(int(found[2]), []).append(shape)
    stem = next((shape for shape in shapes.values() if len(shape) == 4), (0,))
    if not layers or not stem[0]:
        return
    firsts = [layers[stage] for stage in sorted(layers)]
    for fields in itertools.product(
        _inits(stem[0], parent), _growths(firsts, parent), _hiddens(firsts, parent), _compressions(shapes, parent)
    ):
        said: dict[str, Any] = {}
        for each in fields:
            said |= each
        try:
            yield replace(parent, **said)
        except AnalyzerError:
            continue


def _inits(width: int, parent: Variant) -> list[dict[str, Any]]:
    """The deep stem begins with half of the width that it ends with."""
    return [{"init": init} for init in dict.fromkeys([width, 2 * width, parent.init])]


def _growths(firsts: list[list[tuple[int, ...]]], parent: Variant) -> list[dict[str, Any]]:
    widths = tuple(layer[-1][0] for layer in firsts)
    return [{"growth": parent.growth}, {"growth": widths}]


def _hiddens(firsts: list[list[tuple[int, ...]]], parent: Variant) -> list[dict[str, Any]]:
    """The parent's own; else a multiple of the growth, or a share of the input."""
    own = {"ratio": parent.ratio, "bn_size": parent.bn_size}
    if any(len(layer) < 2 for layer in firsts) or (parent.ratio is None and parent.bn_size is None):
        return [{}]
    multiples = {layer[-2][0] / layer[-1][0] for layer in firsts}
    found = [own]
    if len(multiples) == 1 and (multiple := multiples.pop()).is_integer():
        found.append({"ratio": None, "bn_size": int(multiple)})
    of_input = BLOCKS[parent.block].family.has_transitions
    shares = tuple(_share(layer[-2][0], layer[0][1] if of_input else layer[-1][0]) for layer in firsts)
    found.append({"bn_size": None, "ratio": shares})
    return found


def _compressions(shapes: Shapes, parent: Variant) -> list[dict[str, Any]]:
    kept = tuple(
        _share(shape[0], shape[1]) for name, shape in shapes.items()
        if re.fullmatch(r"features\.transition\d+\.conv\.weight", name)
    )  # fmt: skip
    return [{"compression": parent.compression}, *([{"compression": kept}] if kept else [])]


def _share(part: int, whole: int) -> float:
    """A share that gives the part when its product with the whole is floored, with few digits."""
    for digits in range(1, 5):
        for share in (round(part / whole, digits), round((part + 0.5) / whole, digits)):
            if share > 0 and int(whole * share) == part:
                return share
    return (part + 0.5) / whole
