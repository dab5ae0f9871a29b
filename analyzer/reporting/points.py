"""The plots over many variants, drawn without a script: params against MACs, and measured time ratios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analyzer.figures import FIGURES
from analyzer.records import Record
from analyzer.reporting.curves import told_apart
from analyzer.reporting.data import ReportData
from analyzer.reporting.svg import WIDTH, LogScale, clip, drawing, el, line, rect, responsive, short, text
from analyzer.reporting.text import times

TOP, BOTTOM = 24.0, 54.0
NAMED = 9
"""Points of a front up to which each has its name beside it."""


@dataclass(frozen=True)
class _Chart:
    """Two figures' names, their scales, and the size of the drawing."""

    x_name: str
    y_name: str
    x: LogScale
    y: LogScale
    width: float
    height: float

    def at(self, row: Record) -> tuple[float, float]:
        """Where a row is."""
        return self.x(_of(row, self.x_name)), self.y(_of(row, self.y_name))


def both_paretos(data: ReportData) -> Markup | None:
    """The plot of params and MACs for either width."""
    return responsive(lambda width: pareto(data, width=width) or Markup("")) if pareto(data) else None


def pareto(data: ReportData, x_name: str = "params", y_name: str = "macs", width: float = WIDTH) -> Markup | None:
    """Every variant by two figures on log axes: the front drawn, the others dimmed, the limits dashed."""
    rows = {id(r): r for r in (*data.records, data.baseline, data.subject) if r is not None}
    known = [row for row in rows.values() if _of(row, x_name) > 0 and _of(row, y_name) > 0]
    if len(known) < 2:
        return None
    limits = {limit.figure: limit.bound for limit in data.limits if limit.bound > 0}
    cloud = data.cloud if (x_name, y_name) == ("params", "macs") else ()
    xs = [*(px for px, _ in cloud), *(_of(r, x_name) for r in known)] + ([limits[x_name]] if x_name in limits else [])
    ys = [*(py for _, py in cloud), *(_of(r, y_name) for r in known)] + ([limits[y_name]] if y_name in limits else [])
    height = 480.0 if width == WIDTH else 340.0
    left, right = (80.0, 24.0) if width == WIDTH else (56.0, 10.0)
    chart = _Chart(
        x_name,
        y_name,
        LogScale.over(xs, left, width - right),
        LogScale.over(ys, height - BOTTOM, TOP),
        width,
        height,
    )
    parts = [*_axes(chart), *_limits(limits, chart)]
    on_front = set(data.front) if (x_name, y_name) == ("params", "macs") else set()
    best = sorted((row for row in known if row.target.name in on_front), key=chart.at)
    parts += [_dots(((chart.x(px), chart.y(py)) for px, py in cloud), "cloud")] * bool(cloud)
    parts.append(_dots(chart.at(row) for row in known if row.target.name not in on_front))
    parts += _front(best, chart)
    parts += _named(data, best, known, chart)
    title = f"{len(known):,} variants by {FIGURES[x_name].label} and {FIGURES[y_name].label}, log axes"
    return drawing(height, title, parts, width=width)


def _of(row: Record, name: str) -> int:
    return FIGURES[name].of(row) or 0


def _axes(chart: _Chart) -> Iterator[Markup]:
    x, y, bottom = chart.x, chart.y, chart.height - BOTTOM
    for value in x.ticks(9 if chart.width == WIDTH else 4):
        yield line(x(value), TOP, x(value), bottom, class_="grid")
        yield text(x(value), bottom + 18, short(value), text_anchor="middle")
    for value in y.ticks():
        yield line(x.start, y(value), x.end, y(value), class_="grid")
        yield text(x.start - 8, y(value) + 4, short(value), text_anchor="end")
    label = FIGURES[chart.x_name].label
    yield text((x.start + x.end) / 2, chart.height - 10, label, text_anchor="middle", class_="strong")
    yield text(4, 14, FIGURES[chart.y_name].label, class_="strong")


def _limits(limits: dict[str, int], chart: _Chart) -> Iterator[Markup]:
    bottom = chart.height - BOTTOM
    if chart.x_name in limits:
        at = chart.x(limits[chart.x_name])
        words = f"limit {FIGURES[chart.x_name].brief(limits[chart.x_name])}"
        left = at - chart.x.start > 110
        yield line(at, TOP, at, bottom, class_="limit")
        yield text(
            at + (-6 if left else 6), bottom - 8, words, text_anchor="end" if left else "start", class_="muted halo"
        )
    if chart.y_name in limits:
        at = chart.y(limits[chart.y_name])
        words = f"limit {FIGURES[chart.y_name].brief(limits[chart.y_name])}"
        yield line(chart.x.start, at, chart.x.end, at, class_="limit")
        yield text(chart.x.start + 8, at - 6, words, class_="muted halo")


def _dots(places: Iterable[tuple[float, float]], kind: str = "dots") -> Markup:
    """All dominated points, or those of a cloud, as one path: short at any number of variants."""
    spots = sorted({(round(px), round(py)) for px, py in places})
    return el("path", d="".join(f"M{px} {py}h0" for px, py in spots), class_=kind)


def _front(best: Sequence[Record], chart: _Chart) -> Iterator[Markup]:
    if not best:
        return
    places = [chart.at(row) for row in best]
    if not any(row.trained for row in best):  # else accuracy counts too: the front is no line in two figures
        steps = "".join(f"H{px:.1f}V{py:.1f}" for px, py in places[1:])
        yield el("path", d=f"M{places[0][0]:.1f} {places[0][1]:.1f}{steps}", class_="front")
    for (px, py), row in zip(places, best, strict=True):
        yield el("circle", el("title", row.target.shown), cx=px, cy=py, r=5, class_="on-front")


def _named(data: ReportData, best: Sequence[Record], known: Sequence[Record], chart: _Chart) -> Iterator[Markup]:
    """The baseline as a square, the subject as a diamond, both with their names; a short front's too."""
    subject, baseline = data.subject, data.baseline
    there = {id(row) for row in known}
    marked = [baseline, *([subject] if subject is not None and subject is not baseline else [])]
    for row in marked:
        if id(row) not in there:
            continue
        px, py = chart.at(row)
        if row is baseline:
            yield rect(px - 6, py - 6, 12, 12, class_="baseline")
        else:
            yield el("path", d=f"M{px - 9:.1f} {py:.1f}l9 -9l9 9l-9 9z", class_="subject")
        yield _label(px, py - 9, row.target.shown, chart, "strong halo")
    if len(best) <= NAMED and chart.width == WIDTH:
        rest = [row for row in best if all(row is not other for other in marked)]
        names = [row.target.shown for row in rest]
        names = told_apart(names) if len(names) > 1 else names
        for name, row in zip(names, rest, strict=True):
            px, py = chart.at(row)
            yield _label(px, py + 14, name, chart, "muted halo")


def _label(x: float, y: float, words: str, chart: _Chart, classes: str) -> Markup:
    left = x > chart.width * 0.6
    room = (x if left else chart.width - x) - 18
    shown = clip(words, 0.85 * room if "strong" in classes else room)
    return text(x + (-14 if left else 14), y + 5, shown, text_anchor="end" if left else "start", class_=classes)


def ratios(rows: Sequence[Record], baseline: Record) -> Markup | None:
    """Measured time ratios to the baseline for either width: the median as a dot, its interval as a line."""
    rows = [row for row in rows if row.measured and row.target != baseline.target]
    rows = sorted(rows, key=lambda row: (row.measured.ratio if row.measured else 0, row.target.name))[:40]
    if not rows or min(row.measured.ratio_low for row in rows if row.measured) <= 0:
        return None
    return responsive(lambda width: _ratios(rows, baseline, width))


def _ratios(rows: Sequence[Record], baseline: Record, width: float) -> Markup:
    ends = [v for row in rows if row.measured for v in (row.measured.ratio_low, row.measured.ratio_high)]
    scale = LogScale.over([*ends, 1.0], 330 if width == WIDTH else 140, width - (90 if width == WIDTH else 60))
    height = 28.0 * len(rows) + 44
    parts = [line(scale(1), 0, scale(1), height - 30, class_="limit")]
    parts.append(text(scale(1), height - 10, f"1× = {baseline.target.shown}", text_anchor="middle"))
    for i, row in enumerate(rows):
        parts += _interval(row, 28.0 * i + 16, scale)
    return drawing(height, f"Time of a batch as a multiple of {baseline.target.shown}'s", parts, width=width)


def _interval(row: Record, y: float, scale: LogScale) -> list[Markup]:
    measured = row.measured
    assert measured is not None
    return [
        text(scale.start - 10, y + 4, clip(row.target.shown, scale.start - 12), text_anchor="end"),
        line(scale(measured.ratio_low), y, scale(measured.ratio_high), y, class_="interval"),
        el("circle", cx=scale(measured.ratio), cy=y, r=5, class_="on-front"),
        text(scale(measured.ratio_high) + 10, y + 4, times(measured.ratio, 1)),
    ]
