"""Records as text for a terminal, Markdown or CSV; figures are formatted here and nowhere deeper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from analyzer.cli.base import is_exact, say
from analyzer.cli.streams import show as show
from analyzer.cli.streams import show_json as show_json
from analyzer.cli.streams import show_styled as show_styled
from analyzer.cli.streams import show_words as show_words
from analyzer.layout import Layout, layout
from analyzer.records import Record
from analyzer.shown import columns

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Headings and rows of cells; the first column is text, the others are aligned right."""


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, drop: Sequence[int] = ()
) -> Layout:
    """A table on stdout as wide as that is, its heading in bold where the terminal shows that; `drop` see `layout`."""
    made = layout(headings, rows, columns(), left=left, drop=drop, exact=is_exact())
    show_row(made, headings, "heading")
    for row in rows:
        show_row(made, row)
    hint_once(made)
    return made


def hint_once(made: Layout) -> None:
    """What the width has cost, on stderr, once a command."""
    context = click.get_current_context(silent=True)
    told = {} if context is None else context.meta
    if made.hint and not told.get("analyzer.hinted"):
        told["analyzer.hinted"] = True
        say(f"note: {made.hint}")


def show_row(made: Layout, row: Sequence[str], style: str = "") -> None:
    """A row of a table of that layout."""
    for parts in made.lines(row, style):
        show_styled(parts)


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
