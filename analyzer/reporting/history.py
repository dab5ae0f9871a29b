"""Figures over commits, as one HTML file without a script: a step line for each model and figure, and the table."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from analyzer import units
from analyzer.figures import Figure, known
from analyzer.measuring.environment import package_version
from analyzer.reporting.page import environment, policy, template_text
from analyzer.reporting.svg import WIDTH, drawing, el, line, text
from analyzer.structs import Frozen

_LEFT, _RIGHT, _TOP, _BOTTOM = 16.0, 190.0, 34.0, 150.0
_HEIGHT = 182.0


class Point(Frozen, frozen=True, kw_only=True):
    """A value after a commit: its short name, its day and its subject."""

    commit: str
    date: str
    subject: str
    value: int


class FigureHistory(Frozen, frozen=True, kw_only=True):
    """One figure of one model, the oldest commit first."""

    model: str
    figure: str
    points: tuple[Point, ...]


def render(
    title: str, series: Sequence[FigureHistory], *, command: Sequence[str], generated: str, notes: Sequence[str]
) -> str:
    """The page: every series in the first table, those that changed drawn. Equal data give equal text."""
    style = template_text("style.css")
    template: jinja2.Template = environment().get_template("history.html.j2")
    return template.render(
        title=title,
        overview=[_overview(one) for one in series],
        charts=[_chart(one) for one in series if len({point.value for point in one.points}) > 1],
        command=shlex.join(command),
        generated=generated,
        notes=notes,
        version=package_version(),
        style=Markup(style),
        policy=policy(style, "", ""),
    )


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
        (p.commit, p.date, p.subject, figure.text(p.value), figure.signed(p.value - before.value) if before else "–")
        for before, p in zip([None, *points[:-1]], points, strict=True)
    ]
    whole = _share(first.value, last.value)
    from_, to = (f"{figure.text(point.value)} at {point.commit}" for point in (first, last))
    return {
        "id": f"{series.model}-{series.figure}",
        "heading": f"{series.model}: {figure.label}",
        "sentence": f"{from_}, {to}: {whole}",
        "plot": _plot(series, figure),
        "rows": list(reversed(rows)),
    }


def _plot(series: FigureHistory, figure: Figure) -> Markup:
    points = series.points
    top = max([1, *(p.value for p in points)])
    width = (WIDTH - _LEFT - _RIGHT) / len(points)

    def y(value: int) -> float:
        return _BOTTOM - value / top * (_BOTTOM - _TOP)

    path = "".join(
        f"H{_LEFT + i * width:.1f}V{y(p.value):.1f}H{_LEFT + (i + 1) * width:.1f}" for i, p in enumerate(points)
    )
    parts = [
        el("path", d=f"M{_LEFT:.1f} {_BOTTOM:.1f}{path}V{_BOTTOM:.1f}Z", class_="area"),
        line(_LEFT, _BOTTOM, WIDTH - _RIGHT, _BOTTOM, class_="link"),
    ]
    jump = _largest_jump(points)
    for i, point in enumerate(points):
        grown = figure.signed(point.value - points[i - 1].value) if i else "the first"
        told = el("title", f"{point.commit} {point.date} {point.subject}: {figure.text(point.value)}, {grown}")
        x = _LEFT + (i + 0.5) * width
        parts.append(el("circle", told, cx=x, cy=y(point.value), r=6 if i == jump else 3, class_="mark"))
    if jump is not None:
        x = _LEFT + (jump + 0.5) * width
        words = f"{figure.signed(points[jump].value - points[jump - 1].value)} in {points[jump].commit}"
        anchor = "start" if x < WIDTH / 3 else "end" if x > WIDTH * 2 / 3 else "middle"
        parts.append(text(x, y(points[jump].value) - 12, words, text_anchor=anchor))
    parts.append(text(WIDTH - _RIGHT + 10, y(points[-1].value) + 5, figure.text(points[-1].value), class_="strong"))
    parts.append(text(_LEFT, _BOTTOM + 20, f"{points[0].commit}, {points[0].date}", class_="muted"))
    ends = f"{points[-1].commit}, {points[-1].date}"
    parts.append(text(WIDTH - _RIGHT, _BOTTOM + 20, ends, text_anchor="end", class_="muted"))
    last = figure.text(points[-1].value)
    label = f"{series.model}: {figure.label} over {len(points)} commits, from 0; {last} at the last"
    return drawing(_HEIGHT, label, parts)


def _largest_jump(points: Sequence[Point]) -> int | None:
    """The commit after which the value had grown most; None where it never grew."""
    grown = [(points[i].value - points[i - 1].value, -i) for i in range(1, len(points))]
    most = max(grown, default=(0, 0))
    return -most[1] if most[0] > 0 else None
