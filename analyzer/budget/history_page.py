"""Figures over commits as a page, or in a notebook's cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer.budget.figures import TRACKED
from analyzer.budget.history import History
from analyzer.files import write_text
from analyzer.reporting.data import now
from analyzer.reporting.history import FigureHistory, Point, history_html, render


def cell(past: History) -> str:
    """The tracked figures' table and drawings."""
    return history_html(list(_series(past, TRACKED)), _notes(past), past.web)


def write_page(past: History, path: str | Path) -> None:
    """The tracked figures as a file. Raises UsageError where it can't be written."""
    write_text(Path(path), page(past, TRACKED, command=("analyzer.history",)))


def page(past: History, figures: Sequence[str], *, command: Sequence[str]) -> str:
    """The page on some figures."""
    return render(
        "What the models cost, over time", list(_series(past, figures)), command=command, generated=now(),
        notes=_notes(past), web=past.web,
    )  # fmt: skip


def _series(past: History, figures: Sequence[str]) -> Iterator[FigureHistory]:
    for model in past.models:
        for figure in figures:
            points = tuple(
                Point(commit=step.commit.sha, date=step.date, subject=step.commit.subject, value=value)
                for step, value in past.series(model, figure)
            )
            if points:
                limit = past.limits.get((model, figure))
                yield FigureHistory(model=model, figure=figure, points=points, limit=limit)


def _notes(past: History) -> list[str]:
    notes = [past.truncated] if past.truncated else []
    return notes + [f"{step.commit.sha[:10]} can't be read: {step.error}" for step in past.steps if step.error]
