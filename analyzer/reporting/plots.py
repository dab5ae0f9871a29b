"""The plots of a network's own figures, drawn without a script: budget bars, and the waterfall between two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from analyzer.figures import Figure
from analyzer.reporting.svg import WIDTH, LinearScale, clip, drawing, el, line, rect, text

if TYPE_CHECKING:
    from analyzer.reporting.changes import StageChange

ROW = 30.0
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


def waterfall(steps: Sequence[StageChange], figure: Figure, before: str, after: str, width: float = WIDTH) -> Markup:
    """From one network's total to the other's, a bar a stage, in the order of the forward pass."""
    start, end = sum(s.before or 0 for s in steps), sum(s.after or 0 for s in steps)
    levels = [start]
    for step in steps:
        levels.append(levels[-1] + step.difference)
    left, right = (205.0, 185.0) if width == WIDTH else (112.0, 108.0)
    across = LinearScale(0, max(*levels, 1), left, width - right)
    parts = [*_total_row(0, before, start, across, figure)]
    for i, step in enumerate(steps, start=1):
        parts += _step_row(i, step, (levels[i - 1], levels[i]), across, figure)
    parts += _total_row(len(steps) + 1, after, end, across, figure)
    title = f"{figure.label} by stage, from {before} to {after}"
    return drawing(ROW * (len(steps) + 2), title, parts, width=width)


def _step_row(
    row: int, step: StageChange, levels: tuple[int, int], across: LinearScale, figure: Figure
) -> Iterator[Markup]:
    y, low, high = row * ROW, across(min(levels)), across(max(levels))
    values = [figure.text(value) if value is not None else "absent" for value in (step.before, step.after)]
    told = el("title", f"{step.label}: {' → '.join(values)}, {figure.signed(step.difference)}")
    yield text(across.start - 10, y + 19, clip(step.label, across.start - 12), text_anchor="end")
    yield line(across(levels[0]), y - 6, across(levels[0]), y + 24, class_="link")
    if step.difference:
        yield rect(low, y + 4, max(high - low, 1), ROW - 10, class_="hatched" if step.difference > 0 else "down")
    note = "new" if step.before is None else "gone" if step.after is None else ""
    words = " ".join(filter(None, [figure.signed(step.difference) if step.difference else "no change", note]))
    yield _at_end(y, words, across, class_=None if step.difference else "muted")
    yield rect(0, y, across.end, ROW, told, class_="hover")


def _total_row(row: int, name: str, value: int, across: LinearScale, figure: Figure) -> Iterator[Markup]:
    y = row * ROW
    yield text(across.start - 10, y + 19, clip(name, 0.94 * (across.start - 20)), text_anchor="end", class_="strong")
    yield rect(across.start, y + 4, max(across(value) - across.start, 1), ROW - 10, class_="total")
    yield _at_end(y, figure.text(value), across, class_="strong")


def _at_end(y: float, words: str, across: LinearScale, *, class_: str | None) -> Markup:
    """A row's figure, at the drawing's right edge."""
    right = 185.0 if across.start > 150 else 108.0
    return text(across.end + right - 4, y + 19, words, text_anchor="end", class_=class_)
