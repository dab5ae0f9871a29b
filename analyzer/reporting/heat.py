"""Two axes of a sweep against each other: a table of the least value of a figure, shaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from analyzer.figures import FIGURES, Figure
from analyzer.limits import Limit, hold_all, state_of
from analyzer.records import Record, fields_of
from analyzer.reporting.data import ReportData
from analyzer.reporting.variants import label, value, varying

SHADES = 7
_ICONS = {"within": "✓", "over": "✗", "unknown": ""}


@dataclass(frozen=True)
class Cell:
    """The least value among some variants: its text, its shade from 0 (least) to SHADES - 1, its variant's budget."""

    text: str
    shade: int
    state: str


@dataclass(frozen=True)
class HeatMap:
    """Rows by columns of cells (None: no variant is there), and what holds for all of them."""

    figure: Figure
    row_label: str
    column_label: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    note: str


def heat_map(data: ReportData, figure_name: str = "params") -> HeatMap | None:
    """The pair of axes with the most cells filled, among variants that are otherwise like the subject."""
    good = [r for r in data.records if not r.error and r.target.variant is not None and getattr(r, figure_name)]
    best: tuple[int, HeatMap] | None = None
    for a, b in combinations(varying(good), 2):
        rows = [row for row in good if data.subject is None or _alike(row, data.subject, {a, b})]
        table = _map(rows, a, b, FIGURES[figure_name], data.limits)
        filled = sum(cell is not None for _, cells in table.rows for cell in cells)
        shape = min(len(table.rows), len(table.columns))
        if shape >= 2 and filled > 2 and (best is None or filled > best[0]):
            best = filled, table
    return best[1] if best else None


def _alike(row: Record, subject: Record, free: set[str]) -> bool:
    mine, other = fields_of(row), fields_of(subject)
    return all(mine.get(key) == other.get(key) for key in other if key not in free)


def _key(content: Any) -> tuple[int, float, str]:
    """Numbers before words, each in order."""
    number = isinstance(content, (int, float))
    return (0, float(content), "") if number else (1, 0.0, value(content))


def _map(rows: list[Record], a: str, b: str, figure: Figure, limits: Sequence[Limit]) -> HeatMap:
    by_values: dict[tuple[str, str], list[Record]] = {}
    for row in rows:
        variant = fields_of(row)
        by_values.setdefault((value(variant[a]), value(variant[b])), []).append(row)
    down = _values(rows, a)
    across = _values(rows, b)
    least = {key: min(those, key=lambda row: figure.of(row)) for key, those in by_values.items()}
    logs = [math.log(figure.of(row)) for row in least.values()] or [0.0]
    low, high = min(logs), max(logs)

    def cell(name: str, other: str) -> Cell | None:
        row = least.get((name, other))
        if row is None:
            return None
        share = (math.log(figure.of(row)) - low) / (high - low) if high > low else 0.0
        return Cell(figure.brief(figure.of(row)), round(share * (SHADES - 1)), _ICONS[state_of(hold_all(row, limits))])

    several = any(len(those) > 1 for those in by_values.values())
    note = "The least of all variants in a cell." if several else ""
    body = tuple((name, tuple(cell(name, other) for other in across)) for name in down)
    return HeatMap(figure, label(a), label(b), across, body, note)


def _values(rows: list[Record], field: str) -> tuple[str, ...]:
    contents = [fields_of(row)[field] for row in rows]
    return tuple(dict.fromkeys(value(content) for content in sorted(contents, key=_key)))
