"""A smaller variant with a larger one's weights: the channels that matter most, the first layers of each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.building.surgery import tensor_cuts, width_of
from analyzer.channel_maps import ChannelMap, ModuleCut
from analyzer.compressing.coupling import Coupled, Indices, coupled
from analyzer.compressing.criteria import scores_of
from analyzer.compressing.oracle import verified
from analyzer.errors import AnalyzerError, UsageError
from analyzer.figures import known
from analyzer.limits import Limit, hold_all, state_of
from analyzer.reading import family
from analyzer.reading.latency import Profile


def narrowed(variant: Variant, limits: Sequence[Limit], profile: Profile | None) -> Variant:
    """The widest variant of the same shape that meets limits: init and growth in proportion. Raises UsageError."""

    def fits(width: int) -> bool:
        try:
            record = family.record(_of_width(variant, width), profile=profile)
        except AnalyzerError:  # a width that reaches 0
            return False
        return state_of(hold_all(record, limits)) == "within"

    low, high = 0, variant.init
    if fits(high):
        return variant
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if not low:
        asked = ", ".join(f"{known(limit.figure).label} {known(limit.figure).exact(limit.bound)}" for limit in limits)
        what = f"out of reach: no narrower {variant.name} has {asked}"
        raise UsageError(what, where="inherit", fix="allow more, or name a variant")
    return _of_width(variant, low)


def _of_width(variant: Variant, init: int) -> Variant:
    def scaled(width: int) -> int:
        return max(1, width * init // variant.init)

    growth = variant.growth
    if isinstance(growth, int):
        growth = scaled(growth)
    elif isinstance(growth, tuple):
        growth = tuple(map(scaled, growth))
    return replace(variant, init=init, growth=growth)


def inherited(
    model: nn.Module, variant: Variant, args: Sequence[Any], meta: Sequence[Any]
) -> tuple[nn.Module, ChannelMap, int]:
    """A variant with a model's weights, what of the model it keeps, and how many of its layers it lacks.

    `args` are images, `meta` the same without values. Raises UsageError where its layers are not some of the model's.
    """
    made = build(variant).eval().to(next(model.parameters()).dtype)
    found = coupled(model, meta)
    there = dict(made.named_modules())
    removed = {
        number: gone for number, group in enumerate(found.groups)
        if len(gone := _gone(model, there, group, number))
    }  # fmt: skip
    kept = found.map_of(model, removed)
    cuts = ChannelMap(modules={path: cut for path, cut in kept.modules.items() if path in there})
    for path, module in there.items():
        _fill(module, model, path, cuts, variant)
    lacks = sum(1 for path, module in model.named_modules() if path not in there and isinstance(module, nn.Conv2d))
    if not lacks:
        seen = verified(model, made, cuts, args)
        if not seen.holds:
            raise _unlike(variant, seen.why)
    return made, cuts, lacks


def _gone(model: nn.Module, there: dict[str, nn.Module], group: Coupled, number: int) -> Indices:
    """The channels of a group that the smaller network lacks: the least important, or all where it lacks the layer."""
    own = there.get(group.name)
    keep = 0 if own is None else width_of(own, "outputs")
    scores = scores_of(model, number, group, "l2", 0)
    assert scores is not None
    order = np.argsort(scores, kind="stable")
    each = len(group.units[0])
    return np.concatenate([np.zeros(0, np.int64), *(group.units[unit] for unit in order[: len(order) - keep // each])])


def _fill(module: nn.Module, model: nn.Module, path: str, cuts: ChannelMap, variant: Variant) -> None:
    try:
        source = model.get_submodule(path)
    except AttributeError:
        raise _unlike(variant, f"{path} is not there") from None
    kept = tensor_cuts(source, cuts.modules.get(path, ModuleCut()))
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is None:
            continue
        whole = getattr(source, name, None)
        part = kept[name].of(whole.detach()) if name in kept and whole is not None else whole
        if part is None or part.shape != tensor.shape:
            have = "none" if part is None else tuple(part.shape)
            raise _unlike(variant, f"{path}.{name} would be {have}, and is {tuple(tensor.shape)}")
        tensor.data.copy_(part)


def _unlike(variant: Variant, why: str) -> UsageError:
    return UsageError(
        f"{variant.name} can't inherit: {why}", where="inherit",
        fix="name a variant of the same block that is narrower, or has fewer layers",
    )  # fmt: skip
