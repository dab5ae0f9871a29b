"""Curves with bands, intervals about 0, and points with interval bars, drawn without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analyzer.limits import Limit
from analyzer.reporting.svg import WIDTH, LinearScale, LogScale, drawing, el, line, rect, short, spread, text
from analyzer.reporting.text import difference, share
from analyzer.training.statistics import Estimate
from analyzer.training.summaries import Spot

LEFT, RIGHT, TOP, BOTTOM = 64.0, 250.0, 26.0, 44.0
HEIGHT = 330.0
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
    spots = [spot for one in there for spot in one.spots]
    x = LinearScale.over([spot.at for spot in spots], LEFT, WIDTH - RIGHT)
    y = LinearScale.over([end for spot in spots for end in (spot.low, spot.high)], HEIGHT - BOTTOM, TOP)
    parts = [*_axes([(x(v), f"{v:g}") for v in x.ticks(whole=whole)], y, across)]
    ends = spread([y(one.spots[-1].mean) for one in there], APART, TOP + 4, HEIGHT - BOTTOM)
    names = told_apart([one.label for one in there])
    for i, (one, name, end) in enumerate(zip(there, names, ends, strict=True)):
        parts += _curve(one, stroke(i), x, y, (name, end))
    return drawing(HEIGHT, title, parts)


def stroke(i: int) -> str:
    """The classes of the i-th of several strokes."""
    return f"s{i % COLOURS}" + (" dashed" if i >= COLOURS else "")


def _curve(one: NamedCurve, classes: str, x: LinearScale, y: LinearScale, label: tuple[str, float]) -> Iterator[Markup]:
    name, end = label
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
    px, py = places[-1]
    yield line(px + 6, py, WIDTH - RIGHT + 10, end, class_="link")
    yield text(WIDTH - RIGHT + 14, end + 4, f"{name} {one.spots[-1].mean:.1f}", class_=f"label {classes}")


def _axes(across: Sequence[tuple[float, str]], y: LinearScale, name: str) -> Iterator[Markup]:
    for at, words in across:
        yield line(at, TOP, at, HEIGHT - BOTTOM, class_="grid")
        yield text(at, HEIGHT - BOTTOM + 17, words, text_anchor="middle")
    for value in y.ticks(7):
        yield line(LEFT, y(value), WIDTH - RIGHT, y(value), class_="grid")
        yield text(LEFT - 8, y(value) + 4, f"{value:g}", text_anchor="end")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, name, text_anchor="middle", class_="strong")
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


def _clip(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


# -- intervals -------------------------------------------------------------------------------------------------

ROW, NAMES, VALUES = 26.0, 300.0, 190.0


def intervals(rows: Sequence[tuple[str, Estimate]], margin: float, title: str) -> Markup:
    """Differences in points about 0, a row each: the value as a dot, its interval as a line; ±margin is shaded."""
    ends = [end for _, one in rows for end in (one.value, one.low, one.high) if end is not None]
    x = LinearScale.over([*ends, -margin, margin, 0.0], NAMES, WIDTH - VALUES)
    height = ROW * len(rows) + 34
    bottom = height - 26
    parts = [rect(x(-margin), 0, x(margin) - x(-margin), bottom, class_="within-margin")]
    for value in x.ticks(7):
        parts.append(line(x(value), 0, x(value), bottom, class_="grid"))
        parts.append(text(x(value), height - 8, f"{value:+g}" if value else "0", text_anchor="middle"))
    parts.append(line(x(0), 0, x(0), bottom, class_="axis"))
    for i, (name, one) in enumerate(rows):
        parts += _interval(name, one, ROW * i + ROW / 2, x)
    return drawing(height, title, parts)


def _interval(name: str, one: Estimate, y: float, x: LinearScale) -> Iterator[Markup]:
    yield text(NAMES - 12, y + 4, _clip(name, 42), text_anchor="end")
    if one.low is not None and one.high is not None:
        yield line(x(one.low), y, x(one.high), y, class_="interval")
    yield el("circle", cx=x(one.value), cy=y, r=5, class_="on-front")
    yield text(WIDTH - 4, y + 4, difference(one), text_anchor="end")


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
    bound = [limit[0]] if limit is not None and limit[0] > 0 else []
    x = LogScale.over([*(point.cost for point in known), *bound], LEFT, WIDTH - RIGHT)
    ends = [end for p in known for end in (p.accuracy.value, p.accuracy.low, p.accuracy.high) if end is not None]
    y = LinearScale.over([min(max(end, 0.0), 100.0) for end in ends], HEIGHT - BOTTOM, TOP)
    parts = [*_axes([(x(v), short(v)) for v in x.ticks()], y, across)]
    if limit is not None and bound:
        at = x(limit[0])
        parts.append(line(at, TOP, at, HEIGHT - BOTTOM, class_="limit"))
        parts.append(
            text(at - 6, HEIGHT - BOTTOM - 8, _clip(f"limit: {limit[1].source}", 30), text_anchor="end", class_="muted")
        )
    named = known if len(known) <= NAMED else _unbeaten(known)[:NAMED]
    parts += [
        el("circle", _told(point), cx=x(point.cost), cy=y(point.accuracy.value), r=4, class_="spot s5")
        for point in known
        if point not in named
    ]
    labels = spread([y(point.accuracy.value) for point in named], APART, TOP + 4, HEIGHT - BOTTOM)
    for point, label in zip(named, labels, strict=True):
        parts += _priced(point, stroke(point.place), (x(point.cost), label), y)
    return drawing(HEIGHT, title, parts)


def _unbeaten(points: Sequence[Priced]) -> list[Priced]:
    """Those that no cheaper one is as accurate as, the cheapest first."""
    best: list[Priced] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.accuracy.value)):
        if not best or point.accuracy.value > best[-1].accuracy.value:
            best.append(point)
    return best


def _told(point: Priced) -> Markup:
    return el("title", f"{point.label}: {share(point.accuracy)}")


def _priced(point: Priced, classes: str, place: tuple[float, float], y: LinearScale) -> Iterator[Markup]:
    (px, end), one = place, point.accuracy
    yield line(px + 7, y(one.value), WIDTH - RIGHT + 10, end, class_="link")
    if one.low is not None and one.high is not None:
        yield line(px, y(max(one.low, 0.0)), px, y(min(one.high, 100.0)), class_=f"curve {classes}")
    yield el("circle", _told(point), cx=px, cy=y(one.value), r=5, class_=f"spot {classes}")
    yield text(WIDTH - RIGHT + 14, end + 4, f"{point.name} {one.value:.1f}", class_=f"label {classes}")
