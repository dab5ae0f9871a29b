"""Where a network's figures lie, and what changed from one network to another: by stage, and by module."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.figures import SHARED, Figure
from analyzer.reading.layers import LayerNode, tree
from analyzer.records import LayerRow, Record

_WRAPPER = 0.5  # a module that holds this share of every figure is opened: its parts say more than it does


@dataclass(frozen=True)
class StageTotals:
    """A stage of a network: its label, the path of its first module, its totals by figure."""

    label: str
    path: str
    totals: dict[str, int | None]


@dataclass(frozen=True)
class StageChange:
    """A stage's figure in two networks; None where it is not in one of them."""

    label: str
    before: int | None
    after: int | None

    @property
    def difference(self) -> int:
        """after - before, an absent stage counting 0."""
        return (self.after or 0) - (self.before or 0)


def stages(record: Record) -> list[StageTotals]:
    """The network's stages in execution order; they add up to its totals. Empty without layers.

    They are the parts that its assembly says (stem, stage 1, transition 1, …, head); of a model that says none, its
    modules (see `modules`).
    """
    return _parts(record) if _says_parts(record) else modules(record)


def _says_parts(record: Record) -> bool:
    return bool(record.layers) and all(row.part for row in record.layers or ())


def _parts(record: Record) -> list[StageTotals]:
    rows: dict[str, list[LayerRow]] = defaultdict(list)
    for row in record.layers or ():
        rows[row.part or ""].append(row)
    return [
        StageTotals(part, _path(own, rows), {f.name: _sum([getattr(row, f.name) for row in own]) for f in SHARED})
        for part, own in rows.items()
    ]


def _path(own: list[LayerRow], rows: dict[str, list[LayerRow]]) -> str:
    """The module that holds a part and nothing else; the part's first module where there is none."""
    shared = _shared([row.path.split(".") for row in own])
    paths = [row.path.split(".") for part in rows.values() for row in part]
    inside = [path for path in paths if path[: len(shared)] == shared]
    if shared and len(inside) == len(own):
        return ".".join(shared)
    return next((row.path for row in own if row.path), "")


def _shared(paths: list[list[str]]) -> list[str]:
    """What all dotted paths begin with."""
    levels = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return [names[0] for names in levels]


def modules(record: Record) -> list[StageTotals]:
    """The network's outer modules in execution order; they add up to its totals. Empty without layers.

    A module that holds most of every figure is opened; neighbouring single layers are one stage, `conv0 … pool0`.
    """
    if not record.layers:
        return []
    whole = tree(record.layers)
    runs: list[list[LayerNode]] = []
    for node in _opened(whole, whole):
        if not node.children and runs and not runs[-1][-1].children:
            runs[-1].append(node)
        else:
            runs.append([node])
    return [_run(run) for run in runs]


def _run(run: list[LayerNode]) -> StageTotals:
    first, last = run[0].name or "(model)", run[-1].name
    label = first if len(run) == 1 else f"{first} … {last}"
    return StageTotals(label, run[0].path, {f.name: _sum([node.totals[f.name] for node in run]) for f in SHARED})


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _opened(node: LayerNode, whole: LayerNode) -> Iterator[LayerNode]:
    """The node's children, those that hold most of the whole opened in turn; its own row, if any, stands last."""
    for child in node.children.values():
        if child.children and _wraps(child, whole):
            yield from _opened(child, whole)
        else:
            yield child
    if node.row is not None:
        own = {name: getattr(node.row, name) for name in node.totals}
        if any(own.values()) or not node.children:
            yield LayerNode(node.path, node.row, totals=own)


def _wraps(node: LayerNode, whole: LayerNode) -> bool:
    shares = [
        (node.totals[figure.name] or 0) / total for figure in SHARED for total in [whole.totals[figure.name]] if total
    ]
    return bool(shares) and min(shares) >= _WRAPPER


def waterfall(before: Record, after: Record, figure: Figure, most: int = 14) -> list[StageChange]:
    """Every stage that carries a difference, in execution order; the differences add up to the totals' difference.

    Where one of them says no parts, both are split by modules. Beyond `most` stages the small ones are one step, at the
    place of the first of them. Empty where either network's stages are not known.
    """
    split = stages if _says_parts(before) and _says_parts(after) else modules
    first = {part.label: part.totals[figure.name] for part in split(before)}
    second = {part.label: part.totals[figure.name] for part in split(after)}
    if not first or not second or None in first.values() or None in second.values():
        return []
    steps = [StageChange(name, first.get(name), second.get(name)) for name in _merged(list(first), list(second))]
    if len(steps) <= most:
        return steps
    keep = set(sorted(range(len(steps)), key=lambda i: -abs(steps[i].difference))[: most - 1])
    rest = [step for i, step in enumerate(steps) if i not in keep]
    others = StageChange(f"{len(rest)} others", sum(s.before or 0 for s in rest), sum(s.after or 0 for s in rest))
    first_of_them = next(i for i in range(len(steps)) if i not in keep)
    return [others if i == first_of_them else step for i, step in enumerate(steps) if i in keep or i == first_of_them]


def _merged(first: list[str], second: list[str]) -> list[str]:
    """Both orders in one: what only the second has comes before what follows it there."""
    merged = list(first)
    for i, name in enumerate(second):
        if name not in merged:
            after = next((merged.index(later) for later in second[i + 1 :] if later in merged), len(merged))
            merged.insert(after, name)
    return merged


# -- by module -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModuleChange:
    """A module in two networks: its totals by figure in each (empty where it is not there), and what became of it."""

    path: str
    name: str
    level: int
    before: dict[str, int | None]
    after: dict[str, int | None]

    @property
    def state(self) -> str:
        """`added`, `removed`, `grown`, `shrunk` or `same`: by params, or by the other figures where those are equal."""
        if not self.before:
            return "added"
        if not self.after:
            return "removed"
        for figure in SHARED:
            change = self.difference(figure.name)
            if change:
                return "grown" if change > 0 else "shrunk"
        return "same"

    def difference(self, figure: str) -> int | None:
        """after - before, an absent module counting 0; None where a figure is not known."""
        before = self.before[figure] if self.before else 0
        after = self.after[figure] if self.after else 0
        return None if before is None or after is None else after - before


def module_changes(before: Record, after: Record) -> list[ModuleChange]:
    """Every module of either network down to its innermost groups of layers, parents first, in execution order."""
    if not before.layers or not after.layers:
        return []
    return list(_changes(tree(before.layers), tree(after.layers), 0))


def _changes(before: LayerNode | None, after: LayerNode | None, level: int) -> Iterator[ModuleChange]:
    first, second = (node.children if node else {} for node in (before, after))
    for name in _merged(list(first), list(second)):
        a, b = first.get(name), second.get(name)
        node = b or a
        assert node is not None
        yield ModuleChange(node.path, name, level, a.totals if a else {}, b.totals if b else {})
        if any(child.children for side in (a, b) if side for child in side.children.values()):
            yield from _changes(a, b, level + 1)


def groups(record: Record) -> list[LayerNode]:
    """Innermost groups of layers (a dense layer, a transition), and the layers that are in none."""
    nodes: list[LayerNode] = []
    pending = [tree(record.layers or ())]
    while pending:
        node = pending.pop()
        children = list(node.children.values())
        if not children or all(not child.children for child in children):
            nodes.append(node)
        else:
            pending += reversed(children)
    return nodes
