"""Two records -> which layers carry the difference between them."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.reading.layers import tree
from analyzer.records import Record
from analyzer.structs import Frozen


class LayerChange(Frozen, frozen=True, kw_only=True):
    """A layer's figure in two models; None where the model has no such layer."""

    path: str
    before: int | None
    after: int | None

    @property
    def difference(self) -> int:
        """after - before, an absent layer counting 0."""
        return (self.after or 0) - (self.before or 0)


def compare_records(before: Record, after: Record, figure: str) -> list[LayerChange]:
    """Every layer row of either model by path, the largest change first; the differences add up to the total's."""
    first = _own(before, figure)
    second = _own(after, figure)
    changes = [
        LayerChange(path=path, before=first.get(path), after=second.get(path))
        for path in dict.fromkeys([*first, *second])
    ]
    return sorted(changes, key=lambda change: -abs(change.difference))


def _own(record: Record, figure: str) -> dict[str, int | None]:
    """The figure per layer: per dense layer or other innermost group of leaves, so that a block is one line."""
    found: dict[str, int | None] = {}
    for _, node in tree(record.layers or ()).walk():
        leaves = [child for child in node.children.values() if not child.children]
        if leaves and len(leaves) == len(node.children):
            found[node.path] = node.totals[figure]
        else:
            for leaf in leaves:
                found[leaf.path] = leaf.totals[figure]
            if node.row is not None and node.children:
                found[node.path] = getattr(node.row, figure)
    if not found and record.layers:
        found[""] = getattr(record, figure)
    return found


def unlike(records: Sequence[Record]) -> list[str]:
    """What makes records' figures unlike before their architectures do: classes, images, batches; a sentence each."""
    asked: dict[str, dict[str, object]] = {"--classes": {}, "--image": {}, "--batch": {}}
    for record in records:
        name, variant = record.target.shown, record.target.variant
        if variant is not None:
            asked["--classes"][name] = variant.classes
        if record.input is not None and len(record.input) > 2:
            asked["--image"][name] = "x".join(map(str, record.input[2:]))
        asked["--batch"][name] = record.batch
    words = {"--classes": "classes", "--image": "px", "--batch": "images a batch"}
    return [
        f"{', '.join(f'{name} at {value} {words[option]}' for name, value in values.items())}: unlike tasks "
        f"({option} sets one for all of the family)"
        for option, values in asked.items()
        if len(set(values.values())) > 1
    ]
