"""How training goes on: a bar on a terminal, plain lines elsewhere, both on stderr; the log's lines on stdout."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from analyzer.cli import text
from analyzer.cli.base import is_quiet, say
from analyzer.cli.streams import drawn
from analyzer.shown import plain
from analyzer.training.run_records import Config, Epoch


class TrainingBar:
    """Tells of runs, steps and epochs; with the format `log` a finished epoch is a line on stdout."""

    def __init__(self, format_: str) -> None:
        self.log = format_ == "log"
        self.bar: Any = None
        self.begun: dict[str, tuple[Any, float, int]] = {}
        self.drawn = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not is_quiet():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.table import Column

            self.bar = Progress(
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
                BarColumn(bar_width=20), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[rate]}", markup=False),
                expand=True, console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.drawn.enter_context(drawn(self.bar))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.drawn.close()

    def began(self, config: Config, done: int) -> None:
        """A run begins, or goes on."""
        if done:
            say(
                f"{config.shown}: goes on after epoch {done}"
                if done < config.recipe.epochs
                else f"{config.shown}: trained"
            )
        if self.bar is None or done >= config.recipe.epochs:
            return
        self._ended(config)
        total, seen = config.recipe.epochs * config.images[0], done * config.images[0]
        task = self.bar.add_task(plain(config.shown), total=total, completed=seen, rate="")
        self.begun[config.run] = task, time.monotonic(), seen

    def _ended(self, config: Config) -> None:
        """Takes a run's line away."""
        if config.run in self.begun:
            self.bar.remove_task(self.begun.pop(config.run)[0])

    def step(self, config: Config, epoch: int, images: int) -> None:
        """A step was taken: so many images of the epoch so far."""
        if self.bar is None or config.run not in self.begun:
            return
        task, began, before = self.begun[config.run]
        seen, spent = epoch * config.images[0] + images, time.monotonic() - began
        rate = f"{(seen - before) / spent:.1f} images/s" if spent > 0 else ""
        words = f"{plain(config.label)} epoch {epoch + 1}/{config.recipe.epochs}"
        self.bar.update(task, completed=seen, rate=rate, description=words)

    def epoch(self, config: Config, epoch: Epoch) -> None:
        """An epoch is finished and kept."""
        self.step(config, epoch.epoch - 1, config.images[0])
        if epoch.epoch == config.recipe.epochs:
            self._ended(config)
        if self.log:
            text.show(epoch.logged())
            sys.stdout.flush()
        else:
            say(f"{config.shown}: epoch {epoch.epoch} of {config.recipe.epochs}: {', '.join(_words(epoch))}")


def _words(epoch: Epoch) -> Iterator[str]:
    log = f"log's {100 * epoch.log_train_accuracy:.1f} %"
    yield f"train {log}" if epoch.train_accuracy is None else f"train {100 * epoch.train_accuracy:.1f} % ({log})"
    for name, share in (("val", epoch.val_accuracy), ("test", epoch.test_accuracy)):
        if share is not None:
            yield f"{name} {100 * share:.1f} %"
    if epoch.generalisation_gap is not None:
        yield f"gap {epoch.generalisation_gap:+.1f} points"
