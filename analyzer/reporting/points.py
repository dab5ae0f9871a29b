"""The plots over many variants, drawn without a script: params against MACs, and measured time ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from analyzer.figures import FIGURES
from analyzer.records import Record
from analyzer.reporting.data import ReportData
from analyzer.reporting.svg import WIDTH, LogScale, drawing, el, line, rect, short, text
from analyzer.reporting.text import times

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480.0, 80.0, 24.0, 24.0, 54.0


def pareto(data: ReportData, x_name: str = "params", y_name: str = "macs") -> Markup | None:
    """Every variant by two figures on log axes: the front drawn, the others dimmed, the limits dashed."""
    rows = {id(r): r for r in (*data.records, data.baseline, data.subject) if r is not None}
    known = [row for row in rows.values() if _at(row, x_name) > 0 and _at(row, y_name) > 0]
    if len(known) < 2:
        return None
    limits = {limit.figure: limit.bound for limit in data.limits if limit.bound > 0}
    cloud = data.cloud if (x_name, y_name) == ("params", "macs") else ()
    xs = [*(px for px, _ in cloud), *(_at(r, x_name) for r in known)] + ([limits[x_name]] if x_name in limits else [])
    ys = [*(py for _, py in cloud), *(_at(r, y_name) for r in known)] + ([limits[y_name]] if y_name in limits else [])
    x = LogScale.over(xs, LEFT, WIDTH - RIGHT)
    y = LogScale.over(ys, HEIGHT - BOTTOM, TOP)
    places = {id(row): (x(_at(row, x_name)), y(_at(row, y_name))) for row in known}
    parts = [*_axes(x, y, x_name, y_name), *_limits(limits, x, y, x_name, y_name)]
    on_front = set(data.front) if (x_name, y_name) == ("params", "macs") else set()
    best = sorted(((places[id(r)], r) for r in known if r.target.name in on_front), key=lambda pair: pair[0])
    parts += [_dots(((x(px), y(py)) for px, py in cloud), "cloud")] * bool(cloud)
    parts.append(_dots(places[id(row)] for row in known if row.target.name not in on_front))
    parts += _front(best)
    parts += _named(data, places)
    title = f"{len(known):,} variants by {FIGURES[x_name].label} and {FIGURES[y_name].label}, log axes"
    return drawing(HEIGHT, title, parts)


def _at(row: Record, name: str) -> int:
    return FIGURES[name].of(row) or 0


def _axes(x: LogScale, y: LogScale, x_name: str, y_name: str) -> list[Markup]:
    parts = []
    for value in x.ticks():
        parts.append(line(x(value), TOP, x(value), HEIGHT - BOTTOM, class_="grid"))
        parts.append(text(x(value), HEIGHT - BOTTOM + 18, short(value), text_anchor="middle"))
    for value in y.ticks():
        parts.append(line(LEFT, y(value), WIDTH - RIGHT, y(value), class_="grid"))
        parts.append(text(LEFT - 8, y(value) + 4, short(value), text_anchor="end"))
    parts.append(text((LEFT + WIDTH) / 2, HEIGHT - 10, FIGURES[x_name].label, text_anchor="middle", class_="strong"))
    parts.append(text(4, 14, FIGURES[y_name].label, class_="strong"))
    return parts


def _limits(limits: dict[str, int], x: LogScale, y: LogScale, x_name: str, y_name: str) -> list[Markup]:
    parts = []
    if x_name in limits:
        at = x(limits[x_name])
        parts.append(line(at, TOP, at, HEIGHT - BOTTOM, class_="limit"))
        parts.append(text(at - 6, HEIGHT - BOTTOM - 8, "limit", text_anchor="end", class_="muted"))
    if y_name in limits:
        at = y(limits[y_name])
        parts.append(line(LEFT, at, WIDTH - RIGHT, at, class_="limit"))
        parts.append(text(LEFT + 8, at - 6, "limit", class_="muted"))
    return parts


def _dots(places: Iterable[tuple[float, float]], kind: str = "dots") -> Markup:
    """All dominated points, or those of a cloud, as one path: short at any number of variants."""
    spots = sorted({(round(px), round(py)) for px, py in places})
    return el("path", d="".join(f"M{px} {py}h0" for px, py in spots), class_=kind)


def _front(best: Sequence[tuple[tuple[float, float], Record]]) -> list[Markup]:
    if not best:
        return []
    (x0, y0), _ = best[0]
    steps = "".join(f"H{px:.1f}V{py:.1f}" for (px, py), _ in best[1:])
    trained = any(row.trained for _, row in best)  # accuracy counts too: the front is no line in two figures
    parts = [] if trained else [el("path", d=f"M{x0:.1f} {y0:.1f}{steps}", class_="front")]
    parts += [
        el("circle", el("title", row.target.shown), cx=px, cy=py, r=5, class_="on-front") for (px, py), row in best
    ]
    return parts


def _named(data: ReportData, places: dict[int, tuple[float, float]]) -> list[Markup]:
    """The baseline as a square, the subject as a diamond, both with their names."""
    parts = []
    subject = data.subject
    if id(data.baseline) in places:
        px, py = places[id(data.baseline)]
        parts.append(rect(px - 6, py - 6, 12, 12, class_="baseline"))
        parts.append(_label(px, py, data.baseline.target.shown))
    if subject is not None and subject is not data.baseline and id(subject) in places:
        px, py = places[id(subject)]
        parts.append(el("path", d=f"M{px - 9:.1f} {py:.1f}l9 -9l9 9l-9 9z", class_="subject"))
        parts.append(_label(px, py, subject.target.shown))
    return parts


def _label(x: float, y: float, words: str) -> Markup:
    left = x > WIDTH * 0.7
    shown = words if len(words) <= 40 else words[:39] + "…"
    return text(x + (-14 if left else 14), y + 5, shown, text_anchor="end" if left else "start", class_="strong halo")


def ratios(rows: Sequence[Record], baseline: Record) -> Markup | None:
    """Measured time ratios to the baseline: the median as a dot, least and largest round as a line."""
    rows = [row for row in rows if row.measured and row.target != baseline.target]
    rows = sorted(rows, key=lambda row: (row.measured.ratio if row.measured else 0, row.target.name))[:40]
    ends = [v for row in rows if row.measured for v in (row.measured.ratio_low, row.measured.ratio_high)]
    if not rows or min(ends) <= 0:
        return None
    scale = LogScale.over([*ends, 1.0], 330, WIDTH - 90)
    height = 28.0 * len(rows) + 44
    parts = [line(scale(1), 0, scale(1), height - 30, class_="limit")]
    parts.append(text(scale(1), height - 10, f"1× = {baseline.target.shown}", text_anchor="middle"))
    for i, row in enumerate(rows):
        parts += _interval(row, 28.0 * i + 16, scale)
    return drawing(height, f"Time of a batch as a multiple of {baseline.target.shown}'s", parts)


def _interval(row: Record, y: float, scale: LogScale) -> list[Markup]:
    measured = row.measured
    assert measured is not None
    name = row.target.shown
    return [
        text(320, y + 4, name if len(name) < 46 else name[:45] + "…", text_anchor="end"),
        line(scale(measured.ratio_low), y, scale(measured.ratio_high), y, class_="interval"),
        el("circle", cx=scale(measured.ratio), cy=y, r=5, class_="on-front"),
        text(scale(measured.ratio_high) + 10, y + 4, times(measured.ratio, 1)),
    ]
