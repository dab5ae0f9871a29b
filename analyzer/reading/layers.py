"""Layer rows as a tree: every module with the figures of all that is below it. Parents equal their children's sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from analyzer.figures import FIGURES
from analyzer.records import LayerRow

SUMMED = tuple(figure.name for figure in FIGURES.values() if figure.summed)
"""The figures that add up over layers."""


@dataclass
class LayerNode:
    """A module: its own row (None for one that runs nothing itself), children in execution order, totals."""

    path: str
    row: LayerRow | None = None
    children: dict[str, LayerNode] = field(default_factory=dict)
    totals: dict[str, int | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def walk(self, depth: int | None = None, level: int = 0) -> Iterator[tuple[int, LayerNode]]:
        """This node and those below, parents first, down to `depth` levels under it."""
        yield level, self
        if depth is None or level < depth:
            for child in self.children.values():
                yield from child.walk(depth, level + 1)


def tree(rows: Iterable[LayerRow]) -> LayerNode:
    """The tree of a record's layer rows; its root has the path `""`. A figure that any row lacks is None above it."""
    root = LayerNode("")
    for row in rows:
        node = root
        for part in row.path.split(".") if row.path else ():
            path = f"{node.path}.{part}" if node.path else part
            node = node.children.setdefault(part, LayerNode(path))
        node.row = row
    _add_up(root)
    return root


def _add_up(node: LayerNode) -> None:
    for child in node.children.values():
        _add_up(child)
    for figure in SUMMED:
        parts = [child.totals[figure] for child in node.children.values()]
        if node.row is not None:
            parts.append(getattr(node.row, figure))
        node.totals[figure] = (
            None if any(part is None for part in parts) else sum(part for part in parts if part is not None)
        )
