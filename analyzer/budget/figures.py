"""The figures that a budget may hold: all that are known of a model before it runs, in total or of some layers."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.figures import FIGURES, HEADLINE
from analyzer.records import LayerRow

_BUDGETED = [figure for figure in FIGURES.values() if figure.budgeted]
STATIC = tuple(figure.name for figure in _BUDGETED)
OF_PARAMETERS = tuple(figure.name for figure in _BUDGETED if figure.of_parameters)
"""Figures that need no input."""
PEAKS = tuple(figure.name for figure in _BUDGETED if figure.standing == "replayed")
"""Figures that cost a run of their own, so that a model of one's own has them only where they are asked for."""
LAYERED = tuple(figure.name for figure in _BUDGETED if figure.summed)
"""Figures that add up over layers."""
TRACKED = tuple(figure.name for figure in HEADLINE)
"""Figures that are shown of every model, with a budget or without."""


def of_rows(rows: Iterable[LayerRow], figure: str) -> int | None:
    """A figure of some layers together; None where one of them lacks it."""
    total = 0
    for row in rows:
        value: int | None = FIGURES[figure].of(row)
        if value is None:
            return None
        total += value
    return total
