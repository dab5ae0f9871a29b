"""The plots of a network's own figures, drawn without a script: budget bars, waterfall, icicle, memory timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from analyzer.figures import FIGURES, Figure
from analyzer.reading.layers import LayerNode, tree
from analyzer.records import Record
from analyzer.reporting.data import TimelineStep
from analyzer.reporting.svg import WIDTH, drawing, el, line, rect, text
from analyzer.units import percent

if TYPE_CHECKING:
    from analyzer.reporting.changes import StageChange

ROW, LEFT, RIGHT = 30.0, 190.0, 200.0
HATCH = el(
    "pattern",
    rect(0, 0, 8, 8, class_="up"),
    el("path", d="M-2 2l4 -4M0 8l8 -8M6 10l4 -4", class_="hatch"),
    id_="hatch",
    width=8,
    height=8,
    patternUnits="userSpaceOnUse",
)


def layer_id(path: str) -> str:
    """The page's id of a module: no spaces, and the same text works after `#`."""
    return "layer-" + quote(path, safe=".", errors="backslashreplace")


def shared_patterns() -> Markup:
    """The hatching that other drawings refer to; must not be hidden."""
    return el("svg", el("defs", HATCH), width=0, height=0, aria_hidden="true", class_="defs")


def budget_bar(value: int, maximum: int, label: str) -> Markup:
    """A bar from 0 to the value, the limit marked; what lies beyond the limit is hatched."""
    whole = max(value, maximum, 1)
    inside, limit = 100 * min(value, maximum) / whole, 100 * maximum / whole
    parts = [rect(0, 3, 100, 8, class_="track"), rect(0, 3, inside, 8, class_="down")]
    if value > maximum:
        parts.append(rect(limit, 3, 100 - limit, 8, class_="up"))
    parts.append(rect(min(limit, 99.2), 0, 0.8, 14, class_="mark"))
    return el(
        "svg", *parts, viewBox="0 0 100 14", preserveAspectRatio="none", role="img", aria_label=label, class_="bar"
    )


def waterfall(steps: Sequence[StageChange], figure: Figure, before: str, after: str) -> Markup:
    """From one network's total to the other's, a bar a stage."""
    start, end = sum(s.before or 0 for s in steps), sum(s.after or 0 for s in steps)
    levels = [start]
    for step in steps:
        levels.append(levels[-1] + step.difference)
    scale = (WIDTH - LEFT - RIGHT) / max(*levels, 1)
    parts = list(_total_row(0, before, start, scale, figure))
    for i, step in enumerate(steps, start=1):
        low, high = sorted((levels[i - 1], levels[i]))
        y = i * ROW
        kind = "hatched" if step.difference > 0 else "down"
        parts.append(text(LEFT - 10, y + 19, _clip(step.label, 25), text_anchor="end"))
        parts.append(line(LEFT + levels[i - 1] * scale, y - 6, LEFT + levels[i - 1] * scale, y + 24, class_="link"))
        if step.difference:
            parts.append(rect(LEFT + low * scale, y + 4, max((high - low) * scale, 1), ROW - 10, class_=kind))
        note = "new" if step.before is None else "gone" if step.after is None else ""
        words = " ".join(filter(None, [figure.signed(step.difference) if step.difference else "no change", note]))
        parts.append(text(WIDTH - 4, y + 19, words, text_anchor="end", class_=None if step.difference else "muted"))
    parts += _total_row(len(steps) + 1, after, end, scale, figure)
    title = f"{figure.label} by stage, from {before} to {after}"
    return drawing(ROW * (len(steps) + 2), title, parts)


def _total_row(row: int, name: str, value: int, scale: float, figure: Figure) -> Iterator[Markup]:
    y = row * ROW
    yield text(LEFT - 10, y + 19, _clip(name, 25), text_anchor="end", class_="strong")
    yield rect(LEFT, y + 4, max(value * scale, 1), ROW - 10, class_="total")
    yield text(WIDTH - 4, y + 19, figure.text(value), text_anchor="end", class_="strong")


def _clip(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


# -- icicle ----------------------------------------------------------------------------------------------------

ICICLE_HEIGHT = 470.0
_LABELLED, _DRAWN = 15.0, 0.7


def icicle(record: Record, figure: Figure) -> Markup:
    """The module tree from left to right, every module as high as its share; a parent is as high as its children."""
    whole = tree(record.layers or ())
    total = whole.totals[figure.name] or 0
    depth = 1 + max(level for level, _ in whole.walk())
    column = WIDTH / depth
    parts: list[Markup] = []
    top = max(whole.children.values(), key=lambda child: child.totals[figure.name] or 0, default=whole)
    top = top if (top.totals[figure.name] or 0) > 0.9 * total and top.children else whole

    def place(node: LayerNode, level: int, y: float, colour: int) -> None:
        value = node.totals[figure.name] or 0
        height = ICICLE_HEIGHT * value / total
        if height < _DRAWN:
            return
        parts.append(_block(node, record, figure, total, (level * column, y, column, height), colour))
        for i, child in enumerate(node.children.values()):
            place(child, level + 1, y, 1 + i % 6 if node is top else colour)
            y += ICICLE_HEIGHT * (child.totals[figure.name] or 0) / total

    if total:
        place(whole, 0, 0, 0)
    label = f"{record.target.shown}: {figure.label} by module, {figure.text(total)} in all"
    return drawing(ICICLE_HEIGHT, label, parts, role="group")


def _block(
    node: LayerNode,
    record: Record,
    figure: Figure,
    total: int,
    box: tuple[float, float, float, float],
    colour: int,
) -> Markup:
    """A module's box (x, y, width, height), with its share where there is room for words."""
    x, y, width, height = box
    value = node.totals[figure.name] or 0
    share = percent(value, total)
    name = node.path or record.target.shown
    title = el("title", f"{name}: {figure.text(value)} {figure.label}, {share}")
    drawn = rect(x, y, width - 1, max(height - 0.6, 0.6), title, class_=f"tint{colour}")
    if height < _LABELLED:
        return drawn
    shown = _clip(node.name or record.target.shown, int((width - 70) / 7.2))
    words = text(x + 6, y + min(height / 2, 40) + 4.5, f"{shown} {share}")
    return el("a", drawn, words, href=f"#{layer_id(node.path)}", aria_label=f"{name}: {share} of {figure.label}")


# -- memory over a training step -------------------------------------------------------------------------------


def timeline(moments: Sequence[TimelineStep]) -> Markup:
    """Live bytes after every layer of a training step, the phases named, the peak marked."""
    height, bottom = 320.0, 270.0
    memory = FIGURES["peak_training_bytes"]
    peak = max(range(len(moments)), key=lambda i: moments[i].live_bytes)
    most = max(moments[peak].live_bytes, 1)
    dx = (WIDTH - 20) / max(len(moments), 1)

    def y(value: int) -> float:
        return bottom - value / most * (bottom - 50)

    path = "".join(f"H{10 + i * dx:.1f}V{y(m.live_bytes):.1f}H{10 + (i + 1) * dx:.1f}" for i, m in enumerate(moments))
    parts = [el("path", d=f"M10 {bottom:.0f}{path}V{bottom:.0f}Z", class_="area")]
    for i, moment in enumerate(moments):
        if i == 0 or moments[i - 1].phase != moment.phase:
            parts.append(line(10 + i * dx, 40, 10 + i * dx, bottom + 8, class_="link"))
            parts.append(text(14 + i * dx, bottom + 22, moment.phase))
    x = 10 + (peak + 0.5) * dx
    parts.append(el("circle", cx=x, cy=y(most), r=5, class_="mark"))
    words = f"peak {memory.text(most)} in {moments[peak].phase} {moments[peak].layer}"
    parts.append(text(x, 30, _clip(words, 90), text_anchor="start" if x < WIDTH / 2 else "end", class_="strong"))
    return drawing(height, f"Live bytes over a training step: {words}", parts)
