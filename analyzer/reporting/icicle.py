"""The module tree of a network, drawn without a script: every module as high as its share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from analyzer.figures import Figure
from analyzer.reading.layers import LayerNode, tree
from analyzer.records import Record
from analyzer.reporting.plots import layer_id
from analyzer.reporting.svg import WIDTH, clip, drawing, el, rect, text
from analyzer.units import percent

HEIGHT = 470.0
LABELLED, DRAWN = 15.0, 0.7
"""Units from which on a module has its name; and is drawn at all."""
LEAST_COLUMN = 112.0
"""A column's least width: deeper levels are in the layer table."""


def shown_name(node: LayerNode, whole: str) -> str:
    """A module's name beside others: a Sequential's children, which have numbers, with what holds them and their type.

    `stem.0 (Conv2d)`; the network itself is `whole`.
    """
    if not node.name.isdigit():
        return node.name or whole
    parent = node.path.split(".")[-2:-1]
    kind = f" ({node.row.type})" if node.row and node.row.type else ""
    return ".".join([*parent, node.name]) + kind


@dataclass(frozen=True)
class _Sheet:
    """What a tree is drawn on: whose and which figure, its sum, the width of a column, how many there are."""

    record: Record
    figure: Figure
    total: int
    column: float
    columns: int

    def value(self, node: LayerNode) -> int:
        return node.totals[self.figure.name] or 0

    def height(self, node: LayerNode) -> float:
        return HEIGHT * self.value(node) / self.total

    def folded(self, node: LayerNode) -> tuple[LayerNode, list[str]]:
        """A module and the names on the way to it from one whose other children are too small to be drawn."""
        names = [shown_name(node, self.record.target.shown)]
        while True:
            seen = [child for child in node.children.values() if self.height(child) >= DRAWN]
            if len(seen) != 1 or not seen[0].children or self.value(seen[0]) < 0.995 * self.value(node):
                return node, names
            node = seen[0]
            names.append(node.name)


def icicle(record: Record, figure: Figure, width: float = WIDTH) -> Markup:
    """The module tree from left to right, every module as high as its share; a parent is as high as its children.

    Levels with a single child that is seen are one.
    """
    whole = tree(record.layers or ())
    total = whole.totals[figure.name] or 0
    sheet = _Sheet(record, figure, max(total, 1), 1.0, 99)
    columns = min(_depth(whole, sheet), int(width / LEAST_COLUMN))
    sheet = _Sheet(record, figure, max(total, 1), width / columns, columns)
    label = f"{record.target.shown}: {figure.label} by module, {figure.text(total)} in all"
    parts = list(_place(whole, sheet, 0, 0.0, 0)) if total else []
    return drawing(HEIGHT, label, parts, role="group", width=width)


def _depth(node: LayerNode, sheet: _Sheet) -> int:
    node, _ = sheet.folded(node)
    seen = [child for child in node.children.values() if sheet.height(child) >= DRAWN]
    return 1 + max((_depth(child, sheet) for child in seen), default=0)


def _place(node: LayerNode, sheet: _Sheet, level: int, y: float, colour: int) -> Iterator[Markup]:
    if sheet.height(node) < DRAWN or level >= sheet.columns:
        return
    inner, names = sheet.folded(node)
    yield _block(node, names, sheet, (level * sheet.column, y), colour)
    for i, child in enumerate(inner.children.values()):
        yield from _place(child, sheet, level + 1, y, 1 + i % 6 if level == 0 else colour)
        y += sheet.height(child)


def _block(node: LayerNode, names: list[str], sheet: _Sheet, corner: tuple[float, float], colour: int) -> Markup:
    """A module's box, with its share where there is room for words."""
    (x, y), height = corner, sheet.height(node)
    share = percent(sheet.value(node), sheet.total)
    name = node.path or sheet.record.target.shown
    title = el("title", f"{name}: {sheet.figure.text(sheet.value(node))} {sheet.figure.label}, {share}")
    drawn = rect(x, y, sheet.column - 1, max(height - 0.6, 0.6), title, class_=f"tint{colour}")
    if height < LABELLED:
        return drawn
    room = sheet.column - 12
    one_line = height < 34 or room > 150
    shown = clip(" › ".join(names), room - (50 if one_line else 0))
    middle = y + min(height / 2, 40) + 4.5
    lines = [(middle, f"{shown} {share}")] if one_line else [(middle - 8, shown), (middle + 8, share)]
    words = [text(x + 6, at, line) for at, line in lines]
    return el("a", drawn, *words, href=f"#{layer_id(node.path)}", aria_label=f"{name}: {share} of {sheet.figure.label}")
