"""Low rank: layers as several of fewer channels, ranks spread over the network by what each costs in its answers.

A 1x1 or linear layer becomes two, by the directions in which its outputs vary on images: the best pair of a rank there
is for them (Eckart and Young; Zhang et al. 2016). A larger kernel becomes three (Tucker-2; Kim et al. 2016), by higher
order orthogonal iteration over its weights, its inputs scaled by what they are on images.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analyzer.architecture.variant import Variant
from analyzer.building.low_rank import can_be_factored, factors_of, is_pair
from analyzer.building.modules import build
from analyzer.building.surgery import operate, width_of
from analyzer.channel_maps import CompressionMap, RankMap
from analyzer.compressing.coupling import on_meta
from analyzer.compressing.sizes import Counter, beyond, within
from analyzer.errors import UsageError
from analyzer.limits import Limit

GRID = 24
"""Ranks of each side of a larger kernel that are looked at."""
FILLED = 12
"""Layers that are looked at again where the price has left something free."""
SWEEPS = 6
"""Rounds of the orthogonal iteration; more change its error by less than 1e-3."""


@dataclass(frozen=True)
class Spectrum:
    """What a layer's ranks cost: of each choice its ranks, its parameters, and the share of its outputs' energy that it
    loses; the last is the layer as it is. Nothing at or above the layer's own parameters is a choice.
    """

    path: str
    ranks: tuple[tuple[int, ...], ...]
    params: NDArray[np.float64]
    errors: NDArray[np.float64]

    def best(self, price: float) -> int:
        """The choice of the least error plus price times parameters."""
        return int(np.argmin(self.errors + price * self.params))


@dataclass(frozen=True)
class Moments:
    """What a layer reads and gives on images: mean squares of its inputs a channel, second moments of its outputs less
    their bias.
    """

    inputs: Tensor
    outputs: Tensor


@dataclass(frozen=True)
class Factored:
    """A network of lower rank: `errors` are the shares of each factored layer's outputs' energy that are lost."""

    model: nn.Module
    ranks: RankMap
    errors: dict[str, float]


Aim = tuple[Sequence[Limit], Counter]
"""Limits, and what counts a network."""


def factor(model: nn.Module, images: Sequence[Tensor], wanted: Aim | RankMap) -> Factored:
    """The model at ranks that meet the limits and lose the least, by their prices, or at those that are said; the model
    itself is left as it is.

    Raises UsageError where no ranks below break-even meet the limits.
    """
    moments = moments_of(model, images)
    spectra = {path: spectrum(path, model.get_submodule(path), each) for path, each in moments.items()}
    ranks = wanted if isinstance(wanted, RankMap) else _spread(model, list(spectra.values()), *wanted)
    made = copy.deepcopy(model)
    errors = {}
    for path, chosen in ranks.modules.items():
        made.set_submodule(path, factored(made.get_submodule(path), chosen, moments[path], path))
        errors[path] = float(spectra[path].errors[spectra[path].ranks.index(chosen)])
    return Factored(made.eval(), ranks, errors)


# -- the family's own form -------------------------------------------------------------------------------------

_FIRST = re.compile(r"(features\.denseblock\d+\.denselayer\d+)\.conv1")


def lowrank_of(variant: Variant | None, step: str) -> Variant:
    """The variant whose layers are a dense one's with their 1x1 as a pair. Raises UsageError for any other."""
    if variant is None or variant.block != "dense":
        what = "is of variants of the block dense" + ("" if variant is None else f", and this is {variant.name}")
        raise UsageError(what, where=step, fix="say svd alone, which makes any network's layers pairs")
    return replace(variant, block="lowrank")


def lowrank_ranks(model: nn.Module) -> RankMap:
    """Each dense layer's 1x1 at a quarter of its outputs, as the block `lowrank` has it."""
    first = {path: module for path, module in model.named_modules() if _FIRST.fullmatch(path)}
    return RankMap(modules={path: (width_of(module, "outputs") // 4,) for path, module in first.items()})


def as_lowrank(model: nn.Module, variant: Variant) -> nn.Module:
    """The variant with the weights of a dense network whose 1x1s are pairs."""
    names = {".conv1.0.": ".conv1a.", ".conv1.1.": ".conv1b."}
    state = model.state_dict()
    for old, new in names.items():
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    made = build(variant).to(next(model.parameters()).dtype)
    made.load_state_dict(state)
    return made.eval()


# -- what layers do on images ----------------------------------------------------------------------------------


def moments_of(model: nn.Module, images: Sequence[Tensor]) -> dict[str, Moments]:
    """Of every layer that can be factored and runs, by path, in float64."""
    sums: dict[str, list[Tensor]] = {}

    def watch(path: str) -> Callable[[Any, Any, Any], None]:
        def look(layer: Any, inputs: Any, gave: Tensor) -> None:
            read = _by_channel(layer, inputs[0])
            given = _by_channel(layer, gave if layer.bias is None else gave - _shaped(layer, layer.bias))
            found = [read.square().sum(0), given.T @ given, torch.tensor(float(len(read)), dtype=torch.float64),
                     torch.tensor(float(len(given)), dtype=torch.float64)]  # fmt: skip
            sums[path] = [a + b for a, b in zip(sums[path], found, strict=True)] if path in sums else found

        return look

    layers = {path: module for path, module in model.named_modules() if can_be_factored(module)}
    hooks = [layer.register_forward_hook(watch(path)) for path, layer in layers.items()]
    try:
        with torch.no_grad():
            for batch in images:
                model.eval()(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: Moments(read / a, given / b) for path, (read, given, a, b) in sums.items()}


def _by_channel(layer: nn.Module, values: Tensor) -> Tensor:
    """Values as (places, channels)."""
    wide = values.detach().double()
    return wide.transpose(0, 1).flatten(1).T if isinstance(layer, nn.Conv2d) else wide.reshape(-1, wide.shape[-1])


def _shaped(layer: nn.Module, bias: Tensor) -> Tensor:
    return bias.view(1, -1, 1, 1) if isinstance(layer, nn.Conv2d) else bias


# -- what ranks cost -------------------------------------------------------------------------------------------


def spectrum(path: str, layer: nn.Module, moments: Moments) -> Spectrum:
    """Every choice of a layer's ranks below break-even, and the layer as it is."""
    weight = _weight(layer)
    outputs, inputs = weight.shape[:2]
    if is_pair(layer):
        energy = torch.linalg.eigvalsh(moments.outputs).flip(0).clamp_min(0)
        ranks = np.arange(1, outputs + 1)
        params = ranks * (outputs + inputs)
        errors = 1 - np.cumsum(energy.numpy()) / max(float(energy.sum()), 1e-300)
        chosen: list[tuple[int, ...]] = [(int(rank),) for rank in ranks]
    else:
        chosen = [(a, b) for a in _grid(inputs) for b in _grid(outputs)]
        sides = np.array(chosen)
        params = sides[:, 0] * inputs + sides.prod(1) * weight[0, 0].numel() + sides[:, 1] * outputs
        kept = _energies(_scaled(weight, moments))
        errors = np.array([1 - float(kept[b - 1, a - 1]) for a, b in chosen])
    below = np.flatnonzero(params < weight.numel())
    return Spectrum(
        path, (*(chosen[place] for place in below), ()), np.append(params[below], weight.numel()).astype(float),
        np.append(np.maximum(errors[below], 0), 0.0),
    )  # fmt: skip


def _grid(width: int) -> list[int]:
    return sorted({max(1, round(width * step / GRID)) for step in range(1, GRID + 1)})


def _weight(layer: Any) -> Tensor:
    """(outputs, inputs, height, width), float64."""
    weight: Tensor = layer.weight.detach().double()
    return weight if weight.ndim == 4 else weight[:, :, None, None]


def _scaled(weight: Tensor, moments: Moments) -> Tensor:
    """Each input by its root mean square on images: what is seldom there costs little."""
    return weight * moments.inputs.sqrt().clamp_min(1e-12)[None, :, None, None]


def _energies(weight: Tensor) -> Tensor:
    """The share of a kernel's energy that the first directions of its outputs and inputs hold, by how many of each."""
    out, into = _directions(weight, 0), _directions(weight, 1)
    core = torch.einsum("oihw,oa,ib->abhw", weight, out, into).square().sum((2, 3))
    return core.cumsum(0).cumsum(1) / core.sum().clamp_min(1e-300)


def _directions(weight: Tensor, side: int) -> Tensor:
    """Eigenvectors of the kernel unfolded along a side, the strongest first, as columns."""
    unfolded = weight.transpose(0, side).flatten(1)
    vectors: Tensor = torch.linalg.eigh(unfolded @ unfolded.T).eigenvectors
    return vectors.flip(1)


# -- where the budget goes -------------------------------------------------------------------------------------


def _spread(model: nn.Module, spectra: Sequence[Spectrum], limits: Sequence[Limit], counter: Counter) -> RankMap:
    """One price of a parameter for all layers, as low as the limits allow: a parameter then loses no less elsewhere (on
    the convex hull of each layer's choices). What the last step of the price leaves free goes to layers that lose most.
    """
    bare = on_meta(model)

    def values(chosen: Sequence[int]) -> tuple[int, ...]:
        made = operate(copy.deepcopy(bare), CompressionMap(steps=(_map_of(spectra, chosen),)))
        return counter.values(made, limits)

    def at(price: float) -> list[int]:
        return [each.best(price) for each in spectra]

    low, high = 0.0, 1.0  # an error is at most 1: at a price of 1 every layer is as small as it gets
    if within(values(at(low)), limits):
        return _map_of(spectra, at(low))
    if not within(least := values(at(high)), limits):
        raise _out_of_reach(limits, least)
    while at(low) != at(high) and (not low or high / low > 1.001):
        middle = (low * high) ** 0.5 if low else high / 8
        low, high = (low, middle) if within(values(at(middle)), limits) else (middle, high)
    return _map_of(spectra, _filled(spectra, at(high), lambda tried: within(values(tried), limits)))


def _filled(spectra: Sequence[Spectrum], chosen: list[int], fits: Callable[[list[int]], bool]) -> list[int]:
    """With the next better choice of the layers that lose most, where that still fits."""
    worst = sorted(range(len(spectra)), key=lambda each: -spectra[each].errors[chosen[each]])
    for number in worst[:FILLED]:
        each = spectra[number]
        better = np.flatnonzero(each.errors < each.errors[chosen[number]])
        if len(better):
            place = int(better[np.argmin(each.params[better])])
            tried = [*chosen[:number], place, *chosen[number + 1 :]]
            chosen = tried if fits(tried) else chosen
    return chosen


def _map_of(spectra: Sequence[Spectrum], chosen: Sequence[int]) -> RankMap:
    found = {each.path: each.ranks[place] for each, place in zip(spectra, chosen, strict=True)}
    return RankMap(modules={path: ranks for path, ranks in found.items() if ranks})


def _out_of_reach(limits: Sequence[Limit], least: Sequence[int]) -> UsageError:
    what = f"out of reach: at rank 1 everywhere it has {beyond(least, limits)}"
    return UsageError(what, where="svd", fix="allow more, or prune, too")


# -- the layers ------------------------------------------------------------------------------------------------


def factored(layer: nn.Module, ranks: tuple[int, ...], moments: Moments, path: str) -> nn.Sequential:
    """The layers in a layer's place, with their weights."""
    made: Any = factors_of(layer, ranks, path)
    weight = _weight(layer)
    if is_pair(layer):
        out = torch.linalg.eigh(moments.outputs).eigenvectors.flip(1)[:, : ranks[0]]
        parts = [out.T @ weight[:, :, 0, 0], out]
    else:
        into, core, out = tucker2(_scaled(weight, moments), *ranks)
        parts = [into.T / moments.inputs.sqrt().clamp_min(1e-12), core, out]
    with torch.no_grad():
        for each, part in zip(made, parts, strict=True):
            each.weight.copy_(part.reshape(each.weight.shape))
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor):
            made[-1].bias.copy_(bias)
    sequence: nn.Sequential = made
    return sequence


def tucker2(weight: Tensor, inputs: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """A kernel (o, i, h, w) as inputs' directions (i, inputs), core (outputs, inputs, h, w), outputs' (o, outputs):
    higher order orthogonal iteration (De Lathauwer et al. 2000), each side by eigenvectors.
    """
    out, into = _directions(weight, 0)[:, :outputs], _directions(weight, 1)[:, :inputs]
    for _ in range(SWEEPS):
        out = _directions(torch.einsum("oihw,ib->obhw", weight, into), 0)[:, :outputs]
        into = _directions(torch.einsum("oihw,oa->aihw", weight, out), 1)[:, :inputs]
    return into, torch.einsum("oihw,oa,ib->abhw", weight, out, into), out
