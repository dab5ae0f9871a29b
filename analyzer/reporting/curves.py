"""Curves with bands, intervals about 0, and points with interval bars, drawn without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from analyzer.limits import Limit
from analyzer.reporting.svg import (
    NARROW,
    LinearScale,
    LogScale,
    clip,
    drawing,
    el,
    line,
    rect,
    responsive,
    short,
    spread,
    text,
)
from analyzer.reporting.text import difference, share
from analyzer.training.statistics import Estimate
from analyzer.training.summaries import Spot

TOP = 26.0
COLOURS = 6
"""Strokes that the page's style tells apart; further ones are dashed."""
DOTTED = 30
"""Places up to which a curve's are dots that say their values."""
NAMED = 14
"""Points up to which each has its name; of more, those that no cheaper one is as accurate as."""
MOST = 22
"""Letters of a name beside a drawing."""
APART = 16.0
"""Between two labels, so that neither covers the other."""
LEGEND = 19.0
"""A line of the legend that a narrow drawing has below it."""


@dataclass(frozen=True)
class _Canvas:
    """Where a plot's axes lie on a drawing, and how many ticks they have: names stand beside a wide one, below a narrow
    one.
    """

    width: float
    left: float
    right: float
    bottom: float
    height: float
    ticks: int

    @classmethod
    def of(cls, width: float, names: int) -> _Canvas:
        """On a drawing as wide as that, with so many names."""
        if width == NARROW:
            return cls(width, 40.0, width - 12, 236.0, 236 + 52 + LEGEND * names, 5)
        return cls(width, 64.0, width - 250, 286.0, 330.0, 9)

    @property
    def is_beside(self) -> bool:
        """Whether names stand beside it."""
        return self.width != NARROW

    def below(self, i: int) -> float:
        """Where the i-th name below it stands."""
        return self.bottom + 62 + LEGEND * i


@dataclass(frozen=True)
class NamedCurve:
    """A curve with its name."""

    label: str
    spots: tuple[Spot, ...]


def curves(series: Sequence[NamedCurve], title: str, across: str, *, whole: bool = False) -> Markup | None:
    """Curves over one axis, in points: the mean as a line, the runs' least and most as a band. None without any.

    `across` names the axis, which has `whole` numbers alone if asked.
    """
    there = [one for one in series if one.spots]
    if not there:
        return None
    return responsive(partial(_curves, there, title, across, whole))


def _curves(there: Sequence[NamedCurve], title: str, across: str, whole: bool, width: float) -> Markup:
    canvas = _Canvas.of(width, len(there))
    spots = [spot for one in there for spot in one.spots]
    x = LinearScale.over([spot.at for spot in spots], canvas.left, canvas.right)
    y = LinearScale.over([end for spot in spots for end in (spot.low, spot.high)], canvas.bottom, TOP)
    parts = [*_axes(canvas, [(x(v), f"{v:g}") for v in x.ticks(canvas.ticks, whole=whole)], y, across)]
    ends = spread([y(one.spots[-1].mean) for one in there], APART, TOP + 4, canvas.bottom)
    names = told_apart([one.label for one in there])
    for i, (one, name, end) in enumerate(zip(there, names, ends, strict=True)):
        parts += _curve(one, stroke(i), x, y)
        last, classes = one.spots[-1], stroke(i)
        if canvas.is_beside:
            parts += _beside(canvas, (x(last.at) + 6, y(last.mean)), end, f"{name} {last.mean:.1f}", classes)
        else:
            at = canvas.below(i)
            parts.append(line(canvas.left, at - 4, canvas.left + 22, at - 4, class_=f"curve {classes}"))
            parts.append(text(canvas.left + 30, at, f"{name} {last.mean:.1f}", class_=f"label {classes}"))
    return drawing(canvas.height, title, parts, width=width)


def _beside(canvas: _Canvas, of: tuple[float, float], y: float, words: str, classes: str) -> Iterator[Markup]:
    """A name to the right of the axes, with a line to what it names."""
    yield line(*of, canvas.right + 10, y, class_="link")
    yield text(canvas.right + 14, y + 4, words, class_=f"label {classes}")


def stroke(i: int) -> str:
    """The classes of the i-th of several strokes."""
    return f"s{i % COLOURS}" + (" dashed" if i >= COLOURS else "")


def _curve(one: NamedCurve, classes: str, x: LinearScale, y: LinearScale) -> Iterator[Markup]:
    places = [(x(spot.at), y(spot.mean)) for spot in one.spots]
    there = [f"{x(spot.at):.1f} {y(spot.high):.1f}" for spot in one.spots]
    back = [f"{x(spot.at):.1f} {y(spot.low):.1f}" for spot in reversed(one.spots)]
    if any(spot.high > spot.low for spot in one.spots):
        yield el("path", d=f"M{'L'.join([*there, *back])}Z", class_=f"band {classes}")
    yield el("path", d="M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places), class_=f"curve {classes}")
    for spot, (px, py) in zip(one.spots, places, strict=True) if len(places) <= DOTTED else ():
        told = f"{one.label}, {spot.at:g}: {spot.mean:.1f}"
        told += f" ({spot.low:.1f} to {spot.high:.1f})" if spot.high > spot.low else ""
        yield el("circle", el("title", told), cx=px, cy=py, r=3, class_=f"spot {classes}")


def _axes(canvas: _Canvas, across: Sequence[tuple[float, str]], y: LinearScale, name: str) -> Iterator[Markup]:
    for at, words in across:
        yield line(at, TOP, at, canvas.bottom, class_="grid")
        yield text(at, canvas.bottom + 17, words, text_anchor="middle")
    for value in y.ticks(min(canvas.ticks, 7)):
        yield line(canvas.left, y(value), canvas.right, y(value), class_="grid")
        yield text(canvas.left - 8, y(value) + 4, f"{value:g}", text_anchor="end")
    middle = (canvas.left + canvas.right) / 2
    yield text(middle, canvas.bottom + 36, name, text_anchor="middle", class_="strong")
    yield text(4, 14, "points", class_="muted")


def told_apart(names: Sequence[str]) -> list[str]:
    """Names short enough to stand beside a drawing: of several long ones what they do not share (`g32_c0.25`)."""
    long = [name for name in names if len(name) > MOST]
    shared = set.intersection(*(set(name.split("_")) for name in long)) if len(long) > 1 else set()
    found = []
    for name in names:
        own = "_".join(part for part in name.split("_") if part not in shared) if name in long else name
        short = own or name
        found.append(short if len(short) <= MOST else f"{short[: MOST // 2 - 1]}…{short[-MOST // 2 :]}")
    return found


# -- intervals -------------------------------------------------------------------------------------------------

ROW, NAMES, VALUES = 26.0, 300.0, 190.0


def intervals(rows: Sequence[tuple[str, Estimate]], margin: float, title: str) -> Markup:
    """Differences in points about 0, a row each: the value as a dot, its interval as a line; ±margin is shaded."""
    return responsive(partial(_intervals, rows, margin, title))


def _intervals(rows: Sequence[tuple[str, Estimate]], margin: float, title: str, width: float) -> Markup:
    wide = width != NARROW
    ends = [end for _, one in rows for end in (one.value, one.low, one.high) if end is not None]
    start, end = (NAMES, width - VALUES) if wide else (8.0, width - 8)
    x = LinearScale.over([*ends, -margin, margin, 0.0], start, end)
    row = ROW if wide else 2.6 * ROW
    height = row * len(rows) + 34
    bottom = height - 26
    parts = [rect(x(-margin), 0, x(margin) - x(-margin), bottom, class_="within-margin")]
    for value in x.ticks(7 if wide else 5):
        parts.append(line(x(value), 0, x(value), bottom, class_="grid"))
        parts.append(text(x(value), height - 8, f"{value:+g}" if value else "0", text_anchor="middle"))
    parts.append(line(x(0), 0, x(0), bottom, class_="axis"))
    for i, (name, one) in enumerate(rows):
        y = row * (i + 1) - ROW / 2
        parts += _interval(one, y, x)
        if wide:
            parts.append(text(NAMES - 12, y + 4, clip(name, 310), text_anchor="end"))
            parts.append(text(width - 4, y + 4, difference(one), text_anchor="end"))
        else:
            parts.append(text(4, y - 34, clip(name, width - 8), class_="halo"))
            parts.append(text(4, y - 16, difference(one), class_="muted halo"))
    return drawing(height, title, parts, width=width)


def _interval(one: Estimate, y: float, x: LinearScale) -> Iterator[Markup]:
    if one.low is not None and one.high is not None:
        yield line(x(one.low), y, x(one.high), y, class_="interval")
    yield el("circle", cx=x(one.value), cy=y, r=5, class_="on-front")


# -- against a cost --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Priced:
    """A network's accuracy at a cost; `name` is a short one, `place` which of all networks it is."""

    label: str
    name: str
    place: int
    cost: float
    accuracy: Estimate


def against_cost(points: Sequence[Priced], title: str, across: str, limit: tuple[float, Limit] | None) -> Markup | None:
    """Test accuracy in points over a cost on a log axis, interval bars where there are several runs.

    `limit` is a budget in the axis's unit. None where no cost is known or above 0.
    """
    known = [point for point in points if point.cost > 0]
    if not known:
        return None
    named = known if len(known) <= NAMED else _unbeaten(known)[:NAMED]
    return responsive(partial(_against_cost, known, named, title, across, limit))


def _against_cost(
    known: Sequence[Priced], named: Sequence[Priced], title: str, across: str, limit: tuple[float, Limit] | None,
    width: float,
) -> Markup:  # fmt: skip
    canvas = _Canvas.of(width, len(named))
    bound = [limit[0]] if limit is not None and limit[0] > 0 else []
    x = LogScale.over([*(point.cost for point in known), *bound], canvas.left, canvas.right)
    ends = [end for p in known for end in (p.accuracy.value, p.accuracy.low, p.accuracy.high) if end is not None]
    y = LinearScale.over([min(max(end, 0.0), 100.0) for end in ends], canvas.bottom, TOP)
    parts = [*_axes(canvas, [(x(v), short(v)) for v in x.ticks(canvas.ticks)], y, across)]
    if limit is not None and bound:
        at, words = x(limit[0]), clip(f"limit: {limit[1].source}", 220)
        parts.append(line(at, TOP, at, canvas.bottom, class_="limit"))
        left = at < (canvas.left + canvas.right) / 2
        place, anchor = (at + 6, "start") if left else (at - 6, "end")
        parts.append(text(place, canvas.bottom - 8, words, text_anchor=anchor, class_="muted halo"))
    parts += [
        el("circle", _told(point), cx=x(point.cost), cy=y(point.accuracy.value), r=4, class_="spot s5")
        for point in known
        if point not in named
    ]
    labels = spread([y(point.accuracy.value) for point in named], APART, TOP + 4, canvas.bottom)
    for i, (point, label) in enumerate(zip(named, labels, strict=True)):
        parts += _priced(point, i, canvas, (x(point.cost), label), y)
    return drawing(canvas.height, title, parts, width=width)


def _unbeaten(points: Sequence[Priced]) -> list[Priced]:
    """Those that no cheaper one is as accurate as, the cheapest first."""
    best: list[Priced] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.accuracy.value)):
        if not best or point.accuracy.value > best[-1].accuracy.value:
            best.append(point)
    return best


def _told(point: Priced) -> Markup:
    return el("title", f"{point.label}: {share(point.accuracy)}")


def _priced(point: Priced, i: int, canvas: _Canvas, place: tuple[float, float], y: LinearScale) -> Iterator[Markup]:
    """A point with its interval, and its name: beside, or by number below, where colours alone would not do."""
    (px, end), one, classes = place, point.accuracy, stroke(point.place)
    words = f"{point.name} {one.value:.1f}"
    if canvas.is_beside:
        yield from _beside(canvas, (px + 7, y(one.value)), end, words, classes)
    else:
        yield text(px + 7, end + 4, f"{i + 1}", class_=f"label halo {classes}")
        yield text(canvas.left, canvas.below(i), f"{i + 1}  {words}", class_=f"label {classes}")
    if one.low is not None and one.high is not None:
        yield line(px, y(max(one.low, 0.0)), px, y(min(one.high, 100.0)), class_=f"curve {classes}")
    yield el("circle", _told(point), cx=px, cy=y(one.value), r=5, class_=f"spot {classes}")
