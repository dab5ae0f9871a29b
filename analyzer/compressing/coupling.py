"""Which channels of a network must go together: torch-pruning's dependency graph, read as groups of our own.

Nothing is pruned by that library: the graph is traced on the meta device, and every index is of the network as it is.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from analyzer.building.surgery import can_be_cut, is_depthwise, width_of
from analyzer.channel_maps import ChannelMap, channel_map
from analyzer.distribution import installing
from analyzer.errors import TargetError, UsageError, words_of

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Site:
    """A module's side that a group reaches: its channels, and the group's channel that each of them goes with."""

    path: str
    side: str
    channels: Indices
    roots: Indices


@dataclass(frozen=True)
class Coupled:
    """Channels that go together, everywhere that they reach; `units` are those that can't go alone (as channels of the
    group: one, or one of each group of a grouped convolution).
    """

    name: str
    sites: tuple[Site, ...]
    units: tuple[Indices, ...]


@dataclass(frozen=True)
class Prunable:
    """A network's groups, and what can't be pruned: a layer's path and why."""

    groups: tuple[Coupled, ...]
    left: dict[str, str]

    def map_of(self, model: nn.Module, removed: dict[int, Indices]) -> ChannelMap:
        """What is kept where of each group (by its number) these channels go."""
        kept: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for number, roots in removed.items():
            for site in self.groups[number].sites:
                module = model.get_submodule(site.path)
                gone = site.channels[np.isin(site.roots, roots)]
                for side in ("outputs", "inputs") if is_depthwise(module) else (site.side,):
                    if (site.path, side) not in kept:
                        kept[site.path, side] = np.ones(width_of(module, side), bool)
                    kept[site.path, side][gone] = False
        return channel_map(kept)


def on_meta(model: nn.Module) -> nn.Module:
    """A copy of a model without its weights, in evaluation mode; the model is left as it is."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        copied = tensor.detach().to("meta")
        memo[id(tensor)] = nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
    return copy.deepcopy(model, memo).eval()


def coupled(model: nn.Module, args: Sequence[Any]) -> Prunable:
    """The groups of a model that takes these inputs (on meta). Raises TargetError where it can't be traced."""
    pruning = _library()
    traced = on_meta(model).requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters outside layers, and deprecated calls of its own
        try:
            graph = pruning.DependencyGraph().build_dependency(traced, example_inputs=tuple(args))
            # A layer that is called twice is in it once.
            found = list(graph.get_all_groups())
        except Exception as error:
            what = f"can't be followed from layer to layer: {words_of(error)}"
            raise TargetError(what, where=type(model).__name__, fix="use another lever, such as svd") from error
    paths = {module: path for path, module in traced.named_modules()}
    tied = _tied(model)
    groups, left = [], {}
    for group in found:
        name = paths.get(group[0].dep.target.module, "?")
        try:
            groups.append(_group(name, list(_sites(graph, group, paths)), traced, tied))
        except _LeftOut as reason:
            left[name] = str(reason)
    return Prunable(tuple(sorted(groups, key=lambda each: list(paths.values()).index(each.name))), left)


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise UsageError("needs torch-pruning", where="prune", fix=installing("compress")) from error
    return torch_pruning


class _LeftOut(Exception):  # noqa: N818 - a reason, which never leaves this file
    """Why a group can't be pruned."""


def _sites(graph: Any, group: Any, paths: dict[nn.Module, str]) -> Iterator[Site]:
    """Where a group reaches. Raises _LeftOut where it reaches what can't be cut."""
    for item in group:
        module = item.dep.target.module
        if isinstance(module, nn.Parameter):
            raise _LeftOut("reaches a parameter that is in no layer")
        if module not in paths:  # an operation without weights
            continue
        if not can_be_cut(module):
            raise _LeftOut(f"reaches {paths[module]}, and a {type(module).__name__} is not cut")
        if any(root is None for root in item.root_idxs):
            raise _LeftOut(f"can't be followed to {paths[module]}")
        side = "outputs" if graph.is_out_channel_pruning_fn(item.dep.handler) else "inputs"
        channels, roots = (np.asarray(each, np.int64) for each in (item.idxs, item.root_idxs))
        yield Site(paths[module], side, channels, roots)


def _tied(model: nn.Module) -> dict[str, str]:
    """Modules that share a parameter with another, by path, with that one's."""
    owners: dict[int, str] = {}
    tied: dict[str, str] = {}
    for path, module in model.named_modules():
        for parameter in module._parameters.values():
            first = owners.setdefault(id(parameter), path)
            if parameter is not None and first != path:
                tied |= {first: path, path: first}
    return tied


def _group(name: str, sites: list[Site], model: nn.Module, tied: dict[str, str]) -> Coupled:
    """A group from where it reaches. Raises _LeftOut where it can't be pruned."""
    if not any(site.side == "inputs" for site in sites):
        raise _LeftOut("gives the network's own outputs")
    for site in sites:
        if site.path in tied:
            raise _LeftOut(f"shares weights between {site.path} and {tied[site.path]}")
    units = _units(name, sites, model)
    if len(units) < 2:
        what = "one channel" if sum(map(len, units)) < 2 else "groups of one channel"
        raise _LeftOut(f"has {what}, and none can go")
    return Coupled(name, tuple(sites), tuple(units))


def _units(name: str, sites: list[Site], model: nn.Module) -> list[Indices]:
    """The channels that can only go together, as channels of the group: of a grouped convolution one of each group."""
    members = {int(root): {int(root)} for site in sites for root in site.roots}
    for site in sites:
        module: Any = model.get_submodule(site.path)
        groups = getattr(module, "groups", 1)
        if groups == 1 or is_depthwise(module):
            continue
        block = width_of(module, site.side) // groups
        for place in range(block):
            alike = site.roots[site.channels % block == place]
            if len(alike) != groups:
                if len(alike):
                    raise _LeftOut(f"is a part of what the groups of {site.path} read")
                continue
            joined = set().union(*(members[int(root)] for root in alike))
            for root in joined:
                members[root] = joined
    unique = {id(unit): unit for unit in members.values()}
    return [np.array(sorted(unit), np.int64) for unit in sorted(unique.values(), key=min)]
