"""Structured pruning: whole channels, the least important first, as few as a budget asks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import nn

from analyzer.building.surgery import cut_channels, width_of
from analyzer.channel_maps import ChannelMap
from analyzer.compressing.coupling import Coupled, Indices, Prunable, coupled, on_meta
from analyzer.compressing.criteria import Scores, scores_of
from analyzer.compressing.oracle import Verified, verified
from analyzer.compressing.plan import Criterion, Scope
from analyzer.compressing.sizes import Counter, beyond, within
from analyzer.errors import TargetError, UsageError
from analyzer.limits import Limit


@dataclass(frozen=True)
class PruneWish:
    """How to choose: by what, within each group of layers (each gives the same share) or over all, from which seed."""

    criterion: Criterion = "l2"
    scope: Scope = "global"
    seed: int = 0


@dataclass(frozen=True)
class Pruned:
    """A network with channels cut out, and what is to be known of it: `removed` of `removable` channels went; each
    limit's figure as it is, and with one channel more (None: none went). `left` says which layers can't be pruned, why.
    """

    model: nn.Module
    cuts: ChannelMap
    removed: int
    removable: int
    values: tuple[int, ...]
    one_more: tuple[int, ...] | None
    left: dict[str, str]
    verified: Verified


@dataclass
class _Ranking:
    """Units of all groups in the order in which they go: (group, unit)."""

    model: nn.Module
    prunable: Prunable
    order: list[tuple[int, int]] = field(default_factory=list)

    def cuts(self, count: int) -> ChannelMap:
        """The map when so many of the first units are gone."""
        removed: dict[int, list[Indices]] = {}
        for number, unit in self.order[:count]:
            removed.setdefault(number, []).append(self.prunable.groups[number].units[unit])
        return self.prunable.map_of(self.model, {number: np.concatenate(parts) for number, parts in removed.items()})


def prune(model: nn.Module, args: Sequence[Any], wish: PruneWish, limits: Sequence[Limit], counter: Counter) -> Pruned:
    """The model without as few channels as meet the limits, to within one channel; the model itself is left as it is.

    `args` are inputs of it (real ones, on its device), on which the result is held against the original. Raises
    UsageError where no cut meets the limits, TargetError where the network can't be followed.
    """
    prunable = coupled(model, counter.args)
    model.eval()
    while True:
        ranking = _ranked(model, prunable, wish)
        count, values, one_more = _fewest(ranking, limits, counter)
        cuts = ranking.cuts(count)
        made = _made(model, cuts)
        seen = verified(model, made, cuts, args)
        if seen.holds:
            return Pruned(made, cuts, count, len(ranking.order), values, one_more, ranking.prunable.left, seen)
        prunable = _without_unsound(model, ranking.prunable, args, seen)


def _made(model: nn.Module, cuts: ChannelMap) -> nn.Module:
    made = copy.deepcopy(model)
    made.zero_grad(set_to_none=True)
    cut_channels(made, cuts)
    return made


# -- which, and how many ---------------------------------------------------------------------------------------


def _ranked(model: nn.Module, prunable: Prunable, wish: PruneWish) -> _Ranking:
    """Every unit that can go. Raises UsageError where there is none."""
    left = dict(prunable.left)
    groups: list[Coupled] = []
    keys: list[tuple[float, int, int]] = []
    for group in prunable.groups:
        scores = scores_of(model, len(groups), group, wish.criterion, wish.seed)
        if scores is None:
            left[group.name] = f"reaches nothing that {wish.criterion} goes by"
            continue
        keys += [(key, len(groups), unit) for key, unit in _keys(scores, wish.scope)]
        groups.append(group)
    if not keys:
        first = "; ".join(f"{path} {why}" for path, why in list(left.items())[:3])
        raise UsageError(
            f"has no channel that can go: {first or 'no layer was found'}", where=type(model).__name__,
            fix="use another lever, such as svd",
        )  # fmt: skip
    keys.sort()
    made = Prunable(tuple(groups), left)
    return _Ranking(model, made, list(_that_can_go(model, made, [(number, unit) for _, number, unit in keys])))


def _that_can_go(model: nn.Module, prunable: Prunable, order: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Units in their order, but for those with which a layer would lose its last channel."""
    there: dict[tuple[str, str], int] = {}
    taken: list[list[tuple[tuple[str, str], Indices]]] = []
    for group in prunable.groups:
        taken.append([])
        for site in group.sites:
            key = site.path, site.side
            there[key] = width_of(model.get_submodule(site.path), site.side)
            each = np.bincount(site.roots, minlength=max(int(unit.max()) for unit in group.units) + 1)
            taken[-1].append((key, np.array([each[unit].sum() for unit in group.units])))
    for number, unit in order:
        takes = [(key, int(each[unit])) for key, each in taken[number]]
        if all(there[key] > count for key, count in takes if count):
            for key, count in takes:
                there[key] -= count
            yield number, unit


def _keys(scores: Scores, scope: Scope) -> Iterator[tuple[float, int]]:
    """When each unit of a group goes: by its score, or by the group's share that is gone with it."""
    order = np.argsort(scores, kind="stable")
    for rank, unit in enumerate(order, start=1):
        yield (float(scores[unit]) if scope == "global" else rank / len(scores)), int(unit)


def _fewest(
    ranking: _Ranking, limits: Sequence[Limit], counter: Counter
) -> tuple[int, tuple[int, ...], tuple[int, ...] | None]:
    """The fewest units that must go, the limits' figures then, and with one unit fewer gone."""
    bare = on_meta(ranking.model)

    def values(count: int) -> tuple[int, ...]:
        made = copy.deepcopy(bare)
        cut_channels(made, ranking.cuts(count))
        return counter.values(made, limits)

    whole = values(0)
    if within(whole, limits):
        return 0, whole, None
    kept, gone = (0, whole), (len(ranking.order), values(len(ranking.order)))
    if not within(gone[1], limits):
        raise _out_of_reach(ranking, limits, gone[1])
    while gone[0] - kept[0] > 1:
        middle = (kept[0] + gone[0]) // 2
        found = (middle, values(middle))
        kept, gone = (kept, found) if within(found[1], limits) else (found, gone)
    return *gone, kept[1]


def _out_of_reach(ranking: _Ranking, limits: Sequence[Limit], least: tuple[int, ...]) -> UsageError:
    left = f" ({len(ranking.prunable.left)} layers can't be pruned)" if ranking.prunable.left else ""
    return UsageError(
        f"out of reach: with one channel left everywhere it has {beyond(least, limits)}{left}", where="prune",
        fix="allow more, or add another lever, such as svd",
    )  # fmt: skip


# -- what the dependency graph has wrong -----------------------------------------------------------------------


def _without_unsound(model: nn.Module, prunable: Prunable, args: Sequence[Any], seen: Verified) -> Prunable:
    """Without the groups whose cut alone is none of the original. Raises TargetError where none of them is to blame."""

    def sound(numbers: Sequence[int]) -> bool:
        removed = {
            number: np.concatenate(units[::2])
            for number in numbers if (units := prunable.groups[number].units)
        }  # fmt: skip
        try:
            cuts = prunable.map_of(model, removed)
            return verified(model, _made(model, cuts), cuts, args).holds
        except UsageError:  # groups that are cut differently
            return False

    culprits = set(_culprits(list(range(len(prunable.groups))), sound))
    if not culprits:
        raise TargetError(
            f"can't be pruned: {seen.why}", where=type(model).__name__, fix="use another lever, such as svd"
        )
    left = {
        prunable.groups[
            number
        ].name: "can't be cut alone: what follows moves its channels about, or takes them by number"
        for number in culprits
    }
    kept = tuple(group for number, group in enumerate(prunable.groups) if number not in culprits)
    return replace(prunable, groups=kept, left={**prunable.left, **left})


def _culprits(numbers: list[int], sound: Callable[[Sequence[int]], bool]) -> Iterator[int]:
    """Those that are unsound alone, found by halves."""
    if not numbers or sound(numbers):
        return
    if len(numbers) == 1:
        yield numbers[0]
        return
    middle = len(numbers) // 2
    yield from _culprits(numbers[:middle], sound)
    yield from _culprits(numbers[middle:], sound)
