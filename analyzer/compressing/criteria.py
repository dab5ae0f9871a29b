"""How much a channel matters: scores of a group's channels, by which the least go first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from analyzer.compressing.coupling import Coupled, Site
from analyzer.compressing.plan import Criterion
from analyzer.training import keyed

Scores = NDArray[np.float64]
Weigher = Callable[[nn.Module], Tensor | None]


def weigher(criterion: Criterion) -> Weigher:
    """What of a module's weight a criterion adds up: |w|, w², |w| of batch norms alone, or |w x its gradient| (first
    order Taylor; Molchanov et al. 2019). None: the module has no say.
    """

    def weighed(module: nn.Module) -> Tensor | None:
        parameter = getattr(module, "weight", None)
        if not isinstance(parameter, Tensor) or (criterion == "bn" and not isinstance(module, _NormBase)):
            return None
        weight = parameter.detach()
        if criterion == "taylor":
            return None if parameter.grad is None else (weight * parameter.grad).abs()
        return weight.square() if criterion == "l2" else weight.abs()

    return weighed


def scores_of(model: nn.Module, number: int, group: Coupled, criterion: Criterion, seed: int) -> Scores | None:
    """A score for each unit of a group: the mean over where it reaches, over the group's mean (DepGraph's group
    importance; Fang et al. 2023, §3.3). None where nothing that it reaches has a say.
    """
    size = max(int(unit.max()) for unit in group.units) + 1
    if criterion == "random":
        drawn = keyed.keys(keyed.EXTRA, seed, number, np.arange(size))
        channels = drawn.astype(np.float64)
    else:
        weighed = weigher(criterion)
        parts = [part for site in group.sites if (part := _part(model, site, weighed, size)) is not None]
        if not parts:
            return None
        channels = np.sum(parts, axis=0) / len(parts)
    scores = np.array([channels[unit].mean() for unit in group.units])
    mean = scores.mean()
    return scores / mean if mean > 0 else scores


def _part(model: nn.Module, site: Site, weighed: Weigher, size: int) -> Scores | None:
    """What a site adds to each of a group's channels."""
    module = model.get_submodule(site.path)
    weights = weighed(module)
    if weights is None:
        return None
    outputs, transposed = site.side == "outputs", isinstance(module, _ConvTransposeNd)
    if weights.ndim > 1 and outputs == transposed:
        weights = weights.transpose(0, 1)
    each = weights.flatten(1).sum(1, dtype=torch.float64) if weights.ndim > 1 else weights.double()
    if not outputs and isinstance(module, _ConvNd) and module.groups > 1:
        each = each.repeat(module.groups)
    found = np.zeros(size)
    np.add.at(found, site.roots, each.cpu().numpy()[site.channels])
    return found
