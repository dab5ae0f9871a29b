"""A sweep's table as it grows, row by row, on stdout, with the progress of measuring."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import is_exact
from analyzer.cli.measuring_bar import MeasuringBar
from analyzer.figures import FIGURES, HEADLINE
from analyzer.layout import ShownCell, figure_cell, layout
from analyzer.limits import Limit, State, hold_all, state_of
from analyzer.records import Record
from analyzer.shown import columns
from analyzer.sweeping.choosing import pareto_names

SHOWN = 60
"""Rows of the table; beyond, only the front and what is measured."""
RATIO, RATE = FIGURES["measured_ratio"], FIGURES["measured_images_per_s"]
PREDICTED_RATE = FIGURES["predicted_images_per_s"]
_COUNTED = [heading for figure in HEADLINE for heading in (figure.heading, "x base")]
HEADINGS = ("variant", "budget", *_COUNTED, RATIO.heading, RATE.heading)
DROPPED = (7, 5, 9, 6, 3, 4)
"""Columns in the order in which they go where there is no room: memory and throughput first, params and time last."""
TIMES = "10.00 (10.00–10.00)"
SIGNS: dict[State, ShownCell] = {
    "within": ShownCell("✓ within", "✓", "within"), "over": ShownCell("✗ over", "✗", "over"), "unknown": ShownCell("?"),
}  # fmt: skip


def cells(row: Record, base: Record, limits: Sequence[Limit] = ()) -> list[str]:
    """A row's cells under HEADINGS; `limits` are what it is held to."""
    if row.error is not None:
        return [row.target.shown, *["–"] * (len(HEADINGS) - 2), f"error: {row.error.what}"]
    return [
        row.target.shown,
        SIGNS[state_of(hold_all(row, limits))] if limits else "–",
        *(each for f in HEADLINE for each in (figure_cell(f, f.of(row)), units.ratio(f.of(row), f.of(base)))),
        _time(row),
        _rate(row),
    ]


def _time(row: Record) -> str:
    """The one time ratio with its ends and its warning; a timing that failed says so."""
    if row.measured is not None:
        return time_cell(row)
    failed = any(remark.kind == "not-measured" for remark in row.remarks)
    return ShownCell("not measured", "✗", "over") if failed else "–"


def time_cell(row: Record) -> str:
    """`8.13 (8.00–8.27)`, marked where the processes are too few for an interval."""
    made = row.measured
    if made is None:
        return "–"
    sign = " ⚠" if made.caution else ""
    ratio = units.times(made.ratio)
    return ShownCell(f"{ratio} ({units.times(made.ratio_low)}–{units.times(made.ratio_high)}){sign}", ratio + sign)


def _rate(row: Record) -> str:
    """Images a second: measured, or predicted and marked so."""
    if row.measured is not None:
        return RATE.bare(RATE.of(row))
    if row.predicted is not None and row.predicted.latency_s:
        return f"~{PREDICTED_RATE.bare(PREDICTED_RATE.of(row))}"
    return "–"


class GrowingTable:
    """Prints rows as they are complete; `on` is false where another format is asked for.

    `limits` are what rows are held to; `seconds` is the time that measuring is given, for how much of it is left.
    """

    def __init__(
        self, rows: Sequence[Record], chosen: Sequence[Record], *, on: bool, limits: Sequence[Limit] = (),
        seconds: float = 0.0,
    ) -> None:  # fmt: skip
        self.on, self.base, self.chosen, self.limits = on, rows[0], chosen, limits
        waiting = {row.target.name for row in chosen}
        ready = [row for row in rows if row.target.name not in waiting]
        best = set(pareto_names(rows)) if len(rows) > SHOWN else set()
        self.ready = [row for row in ready if not best or row.target.name in best]
        self.hidden = len(ready) - len(self.ready)
        timed = bool(chosen) or any(row.predicted or row.measured for row in rows)
        self.columns = len(HEADINGS) - (0 if timed else 2)
        lines = [self._cells(row) for row in [*self.ready, *chosen] if row.error is None]
        if chosen:
            lines.append([*[""] * (len(HEADINGS) - 2), ShownCell(TIMES + " ⚠", "10.00 ⚠"), ""])
        drop = [i for i in DROPPED if i < self.columns]
        self.layout = layout(HEADINGS[: self.columns], lines, columns(), drop=drop, exact=is_exact())
        self.bar, self.begun = MeasuringBar(len(chosen), seconds), 0

    def _cells(self, row: Record) -> list[str]:
        return cells(row, self.base, self.limits)[: self.columns]

    def __enter__(self) -> Self:
        if self.on:
            text.show_row(self.layout, HEADINGS[: self.columns], "heading")
        for row in self.ready:
            self._show(row)
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, at)

    def doing(self, row: Record) -> None:
        """Says which of the chosen rows begins to be measured."""
        self.begun += 1
        self.bar.doing(row.target.shown, self.begun)

    def finish(self, row: Record) -> None:
        """Prints a row that is complete."""
        self.bar.done()
        self._show(row)

    def _show(self, row: Record) -> None:
        if not self.on:
            return
        if row.error is not None:
            text.show_styled([(f"{row.target.shown}  ", ""), (f"✗ no figures: {row.error.what}", "over")])
        else:
            text.show_row(self.layout, self._cells(row))
