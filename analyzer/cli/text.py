"""Records as text for a terminal, Markdown or CSV; figures are formatted here and nowhere deeper."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from analyzer.cli.streams import show as show
from analyzer.cli.streams import show_json as show_json
from analyzer.records import Record
from analyzer.shown import cell

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Headings and rows of cells; the first column is text, the others are aligned right."""


def width() -> int:
    """Columns of the terminal; plenty where there is none."""
    return shutil.get_terminal_size((160, 40)).columns if sys.stdout.isatty() else 160


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of a table, the first `left` columns left and the others right."""
    rows = [[cell(text) for text in row] for row in rows]
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    return [line(row, widths, left) for row in [headings, *rows]]


def line(cells: Sequence[str], widths: Sequence[int], left: int = 1) -> str:
    """One line of a table of these widths."""
    cells = [cell(text) for text in cells]
    padded = (f"{c:<{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join(padded).rstrip()


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A table on stdout, its heading in bold where the terminal shows that."""
    heading, *lines = aligned(headings, rows, left)
    show(heading, bold=True)
    for text in lines:
        show(text)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells from outside can't break out of theirs."""
    lines = [_md_row(headings), _md_row(["---", *["---:"] * (len(headings) - 1)], escape=False)]
    return "\n".join([*lines, *(_md_row(row) for row in rows)])


def _md_row(cells: Sequence[str], *, escape: bool = True) -> str:
    return "| " + " | ".join(escaped(cell) if escape else cell for cell in cells) + " |"


def escaped(text: str) -> str:
    """Text from outside as plain Markdown text."""
    for char in "\\`*_[]<>|#@":
        text = text.replace(char, "\\" + char)
    return " ".join(text.split())


def shape(sizes: tuple[int, ...] | None) -> str:
    """`32x64x112x112`."""
    return "–" if sizes is None else "x".join(map(str, sizes))


def title(record: Record) -> str:
    """`article, input 1x3x224x224`."""
    text = record.target.shown
    if record.input is not None:
        text += f", input {' and '.join(_input(i) for i in record.inputs)}"
    return text


def _input(given: Any) -> str:
    named = f"{given.name}=" if given.name else ""
    return f"{named}{shape(given.shape)}{'' if given.dtype == 'float32' else ':' + given.dtype}"
