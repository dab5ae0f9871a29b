"""How measuring goes on, on stderr: a bar with elapsed and left on a terminal, elsewhere a line a model."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from types import TracebackType
from typing import Any, Self

from analyzer.cli.base import is_quiet, say
from analyzer.cli.streams import drawn
from analyzer.measuring.exclusive import patience
from analyzer.shown import plain


class _Clock:
    """How much of the time is left, as text, whenever it is asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start = seconds, time.monotonic()

    def __str__(self) -> str:
        return f"of {self.seconds:.0f} s, {max(self.start + self.seconds - time.monotonic(), 0):.0f} s left"


class MeasuringBar:
    """Tells of so many models that are measured within `seconds`; nothing is drawn where there are none."""

    def __init__(self, models: int, seconds: float) -> None:
        self.models, self.clock = models, _Clock(seconds)
        self.bar: Any = None
        self.task: Any = None
        self.drawn = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.clock.start = time.monotonic()
        if self.models and sys.stderr.isatty() and not _piped() and not is_quiet():
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.drawn.close()
        if self.bar is not None:
            patience.tell = say

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        self.bar = Progress(
            TextColumn("measuring"),
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TextColumn("{task.fields[clock]}"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            expand=True,
            console=Console(stderr=True),
            transient=True,
        )
        self.task = self.bar.add_task("", total=self.models, clock=self.clock)
        self.drawn.enter_context(drawn(self.bar))
        patience.tell = self._waiting

    def _waiting(self, text: str) -> None:
        self.bar.update(self.task, description=plain(text))
        say(text)

    def doing(self, name: str, number: int) -> None:
        """The model of that number begins to be measured."""
        if self.bar is not None:
            self.bar.update(self.task, description=plain(name))
        else:
            say(f"measuring {number} of {self.models}: {name}; {self.clock}")

    def share(self, done: float, words: str) -> None:
        """So much of all models is done, and what is being done now; where no bar is drawn, nothing is said."""
        if self.bar is not None:
            self.bar.update(self.task, completed=done * self.models, description=plain(words))

    def done(self) -> None:
        """One more model is finished."""
        if self.bar is not None:
            self.bar.advance(self.task)


def _piped() -> bool:
    """Whether stdout goes through a pipe: what reads it may write to this very terminal, into a bar (`| tee`)."""
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
