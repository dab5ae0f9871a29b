"""stdout and stderr: what is shown gives no orders, and a stdout that fails is told apart from every other file."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import click

from analyzer.shown import for_stream, json_for_stream, terminal_width, use_color

LOST = 74
"""The exit code where stdout is full or closed: sysexits' EX_IOERR."""


class OutputLostError(Exception):
    """stdout can't be written. `code` is what the command ends with all the same; 0 where nothing was found."""

    def __init__(self, reason: OSError, code: int = 0) -> None:
        super().__init__(reason.strerror)
        self.reason, self.code = reason, code

    @property
    def exit_code(self) -> int:
        """The code that stands; else 0 where the reader went away (`| head`), and LOST where not all was read."""
        return self.code or (0 if isinstance(self.reason, BrokenPipeError) else LOST)


class _Guarded:
    """A stream, or its buffer, whose failures are OutputLostError; characters that it lacks are written out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> Any:
        if self._stream is None:
            raise OutputLostError(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        if isinstance(data, str):
            data = data.encode(self.encoding, "backslashreplace").decode(self.encoding)
        with _told_apart():
            return self._stream.write(data)

    def flush(self) -> None:
        if self._stream is not None:
            with _told_apart():
                self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and bool(self._stream.isatty())

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> _Guarded:
        return _Guarded(self._stream.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputLostError(error) from error
    except ValueError as error:  # a closed file
        raise OutputLostError(OSError(errno.EBADF, str(error))) from error


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Guards stdout."""
    before = sys.stdout
    sys.stdout = _Guarded(before)
    try:
        yield
    finally:
        sys.stdout = before


@contextlib.contextmanager
def standing(code: int) -> Iterator[None]:
    """Where stdout fails inside, the command ends with this code all the same, unless it is 0."""
    try:
        yield
    except OutputLostError as lost:
        lost.code = code
        raise


def keep_three_open() -> None:
    """Opens the standard descriptors that are closed: no other file is ever taken for them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def drop_stdout() -> None:
    """Keeps the interpreter from flushing into a stdout that failed at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


_DRAWN: list[Any] = []
_LINE: list[str] = []
"""The line that stands written over, if one does."""
_DRAWING = threading.RLock()


@contextlib.contextmanager
def drawn(bar: Any) -> Iterator[None]:
    """A bar (of rich, or what else can start and stop) that stands below all that is printed meanwhile."""
    with _DRAWING:
        _DRAWN.append(bar)
        bar.start()
    try:
        yield
    finally:
        with _DRAWING:
            bar.stop()
            _DRAWN.remove(bar)


@contextlib.contextmanager
def _above() -> Iterator[None]:
    """What is printed inside stands above the bar. rich's own way misses click: that writes past what rich puts in
    the place of a stream, as it has no encoding.
    """
    with _DRAWING:
        for bar in _DRAWN:
            bar.stop()
        if _LINE:
            overwrite("")
        try:
            yield
        finally:
            for bar in _DRAWN:
                bar.start()


def show(text: str, *, bold: bool = False) -> None:
    """Data, on stdout, as `for_stream` makes it."""
    shown = for_stream(text)
    with _above():
        click.echo(click.style(shown, bold=True) if bold else shown, color=use_color())


def show_styled(parts: Iterable[tuple[str, str]]) -> None:
    """A line of data, each part in what its meaning looks like (see STYLES) where the terminal shows colours."""
    styled = (
        click.style(for_stream(text), **STYLES[style]) if style in STYLES else for_stream(text) for text, style in parts
    )
    with _above():
        click.echo("".join(styled), color=use_color())


STYLES: dict[str, dict[str, Any]] = {
    "heading": {"bold": True},
    "over": {"fg": "red"},
    "within": {"fg": "green"},
    "nothing": {"dim": True},
}
"""How a meaning looks; a sign or a word says it too."""


def show_words(text: str, style: str = "") -> None:
    """A sentence, on stdout, in what its meaning looks like."""
    for line in wrapped(text, sys.stdout).split("\n"):
        show_styled([(line, style)])


def show_json(text: str) -> None:
    """JSON, on stdout, as `json_for_stream` makes it."""
    with _above():
        click.echo(json_for_stream(text))


def tell(text: str, *, head: str = "", style: str | None = None) -> None:
    """Words on stderr, after a head in colour; a stderr that fails is no reason to end otherwise."""
    lead = click.style(head, fg=style, bold=style == "red") + " " if head else ""
    with contextlib.suppress(OSError, ValueError), _above():
        shown = wrapped(for_stream(text), sys.stderr, len(head) + 1 if head else 0)
        click.echo(lead + shown, err=True, color=use_color())


def wrapped(text: str, stream: Any, used: int = 0) -> str:
    """Lines broken between words where a terminal would break them anywhere; `used` columns of the first are taken."""
    if not stream.isatty():
        return text
    width = terminal_width(stream)
    lines = []
    for line in text.split("\n"):
        inside = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(
            line, width, initial_indent=" " * used, subsequent_indent=inside, break_long_words=False,
            break_on_hyphens=False, drop_whitespace=True,
        ) or [""]  # fmt: skip
    return "\n".join(lines)[used:]


def overwrite(text: str) -> None:
    """A terminal's last line on stderr, written over; what is printed next takes its place."""
    _LINE[:] = [text] if text else []
    with contextlib.suppress(OSError, ValueError):
        click.echo(f"\r\x1b[K{for_stream(text)}", nl=False, err=True)
