"""A sweep's table as it grows, row by row, on stdout; the progress of measuring on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.figures import FIGURES, HEADLINE
from analyzer.measuring.exclusive import patience
from analyzer.records import Record
from analyzer.shown import plain
from analyzer.sweeping.run import pareto_names

SHOWN = 60
"""Rows of the table; beyond, only the front and what is measured."""
_COUNTED = [heading for figure in HEADLINE for heading in (figure.heading, "x base")]
HEADINGS = ("variant", *_COUNTED, FIGURES["measured_ratio"].heading, FIGURES["measured_images_per_s"].heading)
TIMES = "10.00 (10.00–10.00)"


def cells(row: Record, base: Record) -> list[str]:
    """A row's cells under HEADINGS."""
    if row.error is not None:
        return [row.target.shown, *["–"] * (len(HEADINGS) - 2), f"error: {row.error.what}"]
    measured = row.measured
    return [
        row.target.shown,
        *(cell for f in HEADLINE for cell in (f.bare(f.of(row)), units.ratio(f.of(row), f.of(base)))),
        "–" if measured is None else f"{measured.ratio:.2f} ({measured.ratio_low:.2f}–{measured.ratio_high:.2f})",
        _rate(row),
    ]


def _rate(row: Record) -> str:
    """Images a second: measured, or predicted and marked so."""
    if row.measured is not None:
        return f"{row.measured.measured_images_per_s:.1f}"
    if row.predicted is not None and row.predicted.latency_s:
        return f"~{row.predicted.batch / row.predicted.latency_s:.1f}"
    return "–"


class GrowingTable:
    """Prints rows as they are complete; `on` is false where another format is asked for."""

    def __init__(self, rows: Sequence[Record], chosen: Sequence[Record], *, on: bool) -> None:
        self.on, self.base, self.chosen = on, rows[0], chosen
        waiting = {row.target.name for row in chosen}
        ready = [row for row in rows if row.target.name not in waiting]
        best = set(pareto_names(rows)) if len(rows) > SHOWN else set()
        self.ready = [row for row in ready if not best or row.target.name in best]
        self.hidden = len(ready) - len(self.ready)
        lines = [cells(row, self.base) for row in [*self.ready, *chosen] if row.error is None]
        self.widths = [max(len(line[i]) for line in [HEADINGS, *lines]) for i in range(len(HEADINGS))]
        if chosen:
            self.widths[-2] = max(self.widths[-2], len(TIMES))
        self.bar: Any = None
        self.begun = 0

    def __enter__(self) -> Self:
        if self.on:
            text.show(text.line(HEADINGS, self.widths), bold=True)
        for row in self.ready:
            self.finish(row)
        if self.chosen and sys.stderr.isatty():
            self._start_bar()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
            patience.tell = say

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.bar = Progress(
            TextColumn("measuring"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self.task = self.bar.add_task("", total=len(self.chosen))
        self.bar.start()
        patience.tell = self._waiting

    def _waiting(self, text: str) -> None:
        self.bar.update(self.task, description=plain(text))
        say(text)

    def doing(self, row: Record) -> None:
        """Says which of the chosen rows begins to be measured."""
        if self.bar is not None:
            self.bar.update(self.task, description=row.target.shown)
        else:
            self.begun += 1
            say(f"measuring {self.begun} of {len(self.chosen)}: {row.target.shown}")

    def finish(self, row: Record) -> None:
        """Prints a row that is complete."""
        if self.bar is not None:
            self.bar.advance(self.task)
        if not self.on:
            return
        line = cells(row, self.base)
        wide = [max(width, len(cell)) for width, cell in zip(self.widths, line, strict=True)]
        text.show(text.line(line, wide if row.error else self.widths))
