"""SVG as escaped text, and the scales of plots. Sizes are in user units of a drawing WIDE or NARROW units wide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from analyzer.shown import visible

WIDTH = 960
NARROW = 360
"""A drawing's width, and that of the one that a telephone shows in its place."""
LETTER = 7.4
"""How wide a letter is, about."""
Content = str | Markup | float


def number(value: float) -> str:
    """At most one decimal, no trailing zero."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def el(name: str, *children: Content, **attributes: Content | None) -> Markup:
    """An element; text and attribute values are escaped, `class_` is `class`, `stroke_width` is `stroke-width`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(v) if isinstance(v, (int, float)) else visible(v))}"'
        for key, v in attributes.items()
        if v is not None
    )
    inside = Markup("").join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def text(x: float, y: float, content: str, **attributes: Content | None) -> Markup:
    """A line of text."""
    return el("text", content, x=x, y=y, **attributes)


def rect(x: float, y: float, width: float, height: float, *children: Content, **attributes: Content | None) -> Markup:
    """A rectangle."""
    return el("rect", *children, x=x, y=y, width=max(width, 0), height=max(height, 0), **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Content | None) -> Markup:
    """A straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def drawing(height: float, label: str, parts: Iterable[Content], *, role: str = "img", width: float = WIDTH) -> Markup:
    """The svg element, named by `label` for those who can't see it."""
    return el("svg", *parts, viewBox=f"0 0 {number(width)} {number(height)}", role=role, aria_label=label)


def responsive(draw: Callable[[float], Markup]) -> Markup:
    """A drawing made for both widths; the page's style shows the one that fits the screen."""
    sizes = (("wide", WIDTH), ("narrow", NARROW))
    return Markup("").join(el("div", draw(width), class_=name) for name, width in sizes)


def clip(words: str, room: float) -> str:
    """Words cut at their end to fit so many units."""
    most = max(int(room / LETTER), 2)
    return words if len(words) <= most else words[: most - 1] + "…"


@dataclass(frozen=True)
class LogScale:
    """Values > 0 to positions, logarithmically. Values low and high lie at positions start and end."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> LogScale:
        """The scale that holds all values with a margin."""
        values = list(values)
        low, high = min(values), max(values)
        margin = (high / low) ** 0.06 if high > low else 1.3
        return cls(low / margin, high * margin, start, end)

    def __call__(self, value: float) -> float:
        """The position of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 9) -> list[int | float]:
        """Round values within the scale: 1, 2 and 5 of every decade, or 1 alone where those are too many; where there
        are not two, those of a linear scale.
        """
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**d for d in decades for step in steps if self.low <= step * 10.0**d <= self.high]
            if len(values) <= most:
                break
        if len(values) < 2:
            return list(LinearScale(self.low, self.high, self.start, self.end).ticks(5))
        return values[:: math.ceil(len(values) / most) or 1]


@dataclass(frozen=True)
class LinearScale:
    """Values to positions in proportion. Values low and high lie at positions start and end."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> LinearScale:
        """The scale that holds all values with a margin."""
        values = list(values)
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
        return cls(low - margin, high + margin, start, end)

    def __call__(self, value: float) -> float:
        """The position of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 9, *, whole: bool = False) -> list[float]:
        """Round values within the scale: multiples of 1, 2 or 5 times a power of ten; `whole` ones alone if asked."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw)
        step = max(step, 1.0) if whole else step
        return [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Positions for labels near those wanted, in the same order, at least so far apart, within low and high."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(wanted[i], low, placed[-1] + apart if placed else low))
    for at in reversed(range(len(placed))):
        placed[at] = min(placed[at], placed[at + 1] - apart if at + 1 < len(placed) else high)
    found = [0.0] * len(wanted)
    for i, position in zip(order, placed, strict=True):
        found[i] = position
    return found


def short(value: float) -> str:
    """`20 M`: a round number for an axis."""
    for power, suffix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= power:
            return f"{value / power:g}{suffix}"
    return f"{value:g}"
