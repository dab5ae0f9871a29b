"""How a search by counts goes on: one line on stderr."""

from __future__ import annotations

import sys
import time

from analyzer import units
from analyzer.cli.base import is_quiet
from analyzer.cli.streams import overwrite, tell
from analyzer.searching.engine import Progress


class ProgressLine:
    """Done, rate and time left, on stderr: a line that is written over, or one now and then where
    there is no terminal; nothing under --quiet.
    """

    def __init__(self) -> None:
        self.over = sys.stderr.isatty()
        self.every = 0.2 if self.over else 10.0
        self.last = time.monotonic() - (self.every if self.over else 0.0)
        self.shown = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self.over and self.shown:
            overwrite("")

    def update(self, progress: Progress) -> None:
        """Shows it, where it is time to."""
        now = time.monotonic()
        if now - self.last < self.every or is_quiet():
            return
        self.last, self.shown = now, True
        done = f"{100 * progress.done / progress.planned:.0f} % of {progress.planned:,}"
        left = f"{units.short(int(progress.rate))}/s, {progress.left_s:.0f} s left"
        (overwrite if self.over else tell)(f"{done}, {left}")
