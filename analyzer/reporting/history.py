"""Figures over commits, as one HTML file without a script: a step line for each model and figure, and the table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

from markupsafe import Markup

from analyzer import units
from analyzer.figures import Figure, known
from analyzer.reporting.notebook import framed
from analyzer.reporting.page import environment, scriptless
from analyzer.reporting.svg import WIDTH, LinearScale, drawing, el, line, responsive, short, text
from analyzer.structs import Frozen

_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 120.0, 34.0, 190.0
_HEIGHT = 222.0


class Point(Frozen, frozen=True, kw_only=True):
    """A value after a commit: its name, its day and its subject."""

    commit: str
    date: str
    subject: str
    value: int

    @property
    def short(self) -> str:
        """The commit's name as people write it."""
        return self.commit[:10]


class FigureHistory(Frozen, frozen=True, kw_only=True):
    """One figure of one model, the oldest commit first; `limit` is the most that is allowed now, where that is said."""

    model: str
    figure: str
    points: tuple[Point, ...]
    limit: int | None = None


def render(
    title: str,
    series: Sequence[FigureHistory],
    *,
    command: Sequence[str],
    generated: str,
    notes: Sequence[str],
    web: str = "",
) -> str:
    """The page: every series in the first table, those that changed drawn. Equal data give equal text.

    `web` is the address of the repository's page: commits are links to theirs.
    """
    said = {"title": title, "command": shlex.join(command), "generated": generated}
    return scriptless("history.html.j2", {**_context(series, notes, web), **said})


def history_html(series: Sequence[FigureHistory], notes: Sequence[str], web: str = "") -> str:
    """The page's tables and drawings for a notebook's cell."""
    return framed(environment().get_template("history_body.html.j2").render(_context(series, notes, web)))


def _context(series: Sequence[FigureHistory], notes: Sequence[str], web: str) -> dict[str, object]:
    return {
        "overview": [_overview(one) for one in series],
        "charts": [_chart(one) for one in series if len({point.value for point in one.points}) > 1],
        "notes": notes,
        "web": web,
    }


def _overview(series: FigureHistory) -> tuple[str, ...]:
    figure, first, last = known(series.figure), series.points[0].value, series.points[-1].value
    values = (figure.text(first), figure.text(last), _share(first, last))
    return series.model, figure.label, str(len(series.points)), *values


def _share(first: int, last: int) -> str:
    return units.change(last, first) or "–"


def _chart(series: FigureHistory) -> dict[str, object]:
    figure, points = known(series.figure), series.points
    first, last = points[0], points[-1]
    rows = [
        (
            p.commit,
            p.short,
            p.date,
            p.subject,
            figure.text(p.value),
            figure.signed(p.value - before.value) if before else "–",
        )
        for before, p in zip([None, *points[:-1]], points, strict=True)
    ]
    whole = _share(first.value, last.value)
    from_, to = (f"{figure.text(point.value)} at {point.short}" for point in (first, last))
    return {
        "id": f"{series.model}-{series.figure}",
        "heading": f"{series.model}: {figure.label}",
        "sentence": f"{from_}, {to}: {whole}",
        "plot": responsive(partial(_plot, series, figure)),
        "rows": list(reversed(rows)),
    }


def _plot(series: FigureHistory, figure: Figure, width: float = WIDTH) -> Markup:
    points, jump = series.points, _largest_jump(series.points)
    y = LinearScale(0, max(1, *(p.value for p in points), series.limit or 0) * 1.04, _BOTTOM, _TOP)
    left, right = (_LEFT, _RIGHT) if width == WIDTH else (58.0, 12.0)
    dx = (width - left - right) / len(points)
    path = "".join(f"H{left + i * dx:.1f}V{y(p.value):.1f}H{left + (i + 1) * dx:.1f}" for i, p in enumerate(points))
    last = figure.brief(points[-1].value)
    parts = [
        *_ticks(y, figure, left, width - right),
        el("path", d=f"M{left:.1f} {_BOTTOM:.1f}{path}V{_BOTTOM:.1f}Z", class_="area"),
        *_limit(series, figure, y, left, width - right),
        *(_dot(i, points, figure, (left + (i + 0.5) * dx, y(p.value)), i == jump) for i, p in enumerate(points)),
    ]
    if jump is not None:
        x = left + (jump + 0.5) * dx
        words = f"{figure.signed(points[jump].value - points[jump - 1].value)} in {points[jump].short}"
        anchor = "start" if x < width / 3 else "end" if x > width * 2 / 3 else "middle"
        parts.append(text(x, y(points[jump].value) - 12, words, text_anchor=anchor, class_="halo"))
    if width == WIDTH:
        parts.append(text(width - right + 10, y(points[-1].value) + 5, last, class_="strong"))
    parts.append(text(left, _BOTTOM + 20, points[0].date, class_="muted"))
    parts.append(text(width - right, _BOTTOM + 20, points[-1].date, text_anchor="end", class_="muted"))
    label = f"{series.model}: {figure.label} over {len(points)} commits, from 0; {last} at the last"
    return drawing(_HEIGHT, label, parts, width=width)


def _ticks(y: LinearScale, figure: Figure, left: float, right: float) -> Iterator[Markup]:
    """Round values, bytes in MiB."""
    scale = 2**20 if figure.unit == "bytes" else 1
    for value in LinearScale(y.low / scale, y.high / scale, y.start, y.end).ticks(4):
        yield line(left, y(value * scale), right, y(value * scale), class_="grid")
        words = f"{value:,g} MiB" if scale > 1 else short(value)
        yield text(left - 7, y(value * scale) + 4, words, text_anchor="end")


def _limit(series: FigureHistory, figure: Figure, y: LinearScale, left: float, right: float) -> Iterator[Markup]:
    if series.limit is not None:
        at = y(series.limit)
        yield line(left, at, right, at, class_="limit")
        yield text(left + 6, at - 5, f"budget {figure.brief(series.limit)}", class_="muted halo")


def _dot(i: int, points: Sequence[Point], figure: Figure, place: tuple[float, float], largest: bool) -> Markup:
    point = points[i]
    grown = figure.signed(point.value - points[i - 1].value) if i else "the first"
    told = el("title", f"{point.short} {point.date} {point.subject}: {figure.text(point.value)}, {grown}")
    return el("circle", told, cx=place[0], cy=place[1], r=6 if largest else 3, class_="mark")


def _largest_jump(points: Sequence[Point]) -> int | None:
    """The commit after which the value had grown most; None where it never grew."""
    grown = [(points[i].value - points[i - 1].value, -i) for i in range(1, len(points))]
    most = max(grown, default=(0, 0))
    return -most[1] if most[0] > 0 else None
