"""What is printed while a bar stands on the same terminal takes a line of its own."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import pytest

from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.cli.measuring_bar import MeasuringBar
from analyzer.cli.streams import overwrite
from analyzer.cli.training_progress import TrainingBar


class Terminal(io.TextIOWrapper):
    """A terminal that both streams write to; `screen` are the lines that stand on it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        self.flush()
        written = self.buffer.getvalue().decode()  # type: ignore[attr-defined]
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[\d;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
            if part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part == "\r":
                column = 0
            elif part.startswith("\x1b["):
                row -= int(part[2:-1] or 1) if part.endswith("A") else 0
                lines[row] = "" if part.endswith("2K") else lines[row][:column] if part.endswith("K") else lines[row]
            else:
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines if line.strip()]


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What both streams write to from now on."""
    made = Terminal()
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, made)
    return made


def _measuring(printed: Callable[[], None]) -> None:
    with MeasuringBar(2, 60) as bar:
        bar.doing("first", 1)
        bar.bar.refresh()
        printed()
        bar.done()
        bar.doing("second" * 20, 2)
        bar.bar.refresh()
        printed()


def _training(printed: Callable[[], None]) -> None:
    with TrainingBar("table") as bar:
        bar.bar.add_task("a run", total=2, rate="")
        bar.bar.refresh()
        printed()


def _searching(printed: Callable[[], None]) -> None:
    overwrite("50 % of 100, a line that is long, 3 s left")
    printed()
    overwrite("60 % of 100")
    overwrite("")


@pytest.mark.parametrize(("drawing", "times"), [(_measuring, 2), (_training, 1), (_searching, 1)])
def test_a_bar_never_prints_into_a_row(
    monkeypatch: pytest.MonkeyPatch, drawing: Callable[[Callable[[], None]], None], times: int
) -> None:
    terminal = terminal_of(monkeypatch)

    def printed() -> None:
        text.show("a row")
        text.show_styled([("✗ ", ""), ("over", "over")])
        say("words")

    drawing(printed)
    assert terminal.screen == ["a row", "✗ over", "words"] * times


def test_a_bar_says_elapsed_and_left_and_fits_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with MeasuringBar(2, 60) as bar:
        bar.doing("second" * 20, 1)
        bar.share(0.5, "second" * 20)
        bar.bar.refresh()
        (line,) = terminal.screen
    assert re.match(r"measuring 1/2 ━+.* 0:00:0\d of 60 s, (59|60) s left second.*…$", line)
    assert len(line) <= 80


def test_sentences_break_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    say("note: " + "1,024 images " * 12)
    assert [re.sub(r"1,024|images|note:| ", "", line) for line in terminal.screen] == ["", "", ""]
