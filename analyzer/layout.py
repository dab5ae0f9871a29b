"""Tables that fit: long forms where there is room, then short ones, then fewer columns; a cell is never cut in two."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from analyzer.figures import Figure
from analyzer.records import Record, ends_of
from analyzer.shown import cell
from analyzer.units import percent

GAP = "  "
NARROWEST = 16
"""Columns that words are wrapped to, at least."""


class ShownCell(str):
    """A cell's text, the shorter one that may stand for it, and what it means (see streams.STYLES)."""

    short: str
    style: str

    def __new__(cls, text: str, short: str = "", style: str = "") -> Self:
        """The text, with what is said of it."""
        made = super().__new__(cls, text)
        made.short, made.style = short or text, style
        return made


def figure_cell(figure: Figure, value: int | float | None, *, unit: bool = False) -> ShownCell:
    """A figure's value, with its unit or under a heading that says it; a zero is nothing to look at."""
    full = figure.text(value) if unit else figure.bare(value)
    short = figure.brief(value) if figure.unit == "count" else full
    return ShownCell(full, short if len(short) < len(full) else full, "nothing" if value == 0 else "")


def signed_cell(figure: Figure, difference: int | float | None) -> ShownCell:
    """A difference of two values, with its sign: more of what should be less stands out."""
    full = figure.signed(difference)
    if difference is None or figure.unit != "count":
        return ShownCell(full, style="nothing" if difference == 0 else "")
    short = full[0] + figure.brief(abs(difference))
    return ShownCell(full, short if len(short) < len(full) else full, "nothing" if difference == 0 else "")


def percent_cell(part: int | float | None, whole: int | float | None) -> ShownCell:
    """`47.6 %`; a share of nothing is nothing to look at."""
    return ShownCell(percent(part, whole), style="nothing" if not part else "")


def ends_cell(record: Record, figure: Figure) -> ShownCell:
    """A predicted or measured value with its ends: `12.34 ms (12.10 to 13.05 ms)`."""
    value, ends = figure.bare(figure.of(record)), ends_of(record, figure)
    return ShownCell(f"{value} ({figure.ends(ends.low, ends.high)})" if ends else value, value)


def _shortened(text: str) -> str:
    return text.short if isinstance(text, ShownCell) else text


@dataclass(frozen=True)
class Layout:
    """Which columns of a table stand, how wide each, whether in short forms; `wrapped` is one whose words may break."""

    headings: tuple[str, ...]
    kept: tuple[int, ...]
    widths: tuple[int, ...]
    left: int
    short: bool
    wrapped: int | None = None

    @property
    def dropped(self) -> list[str]:
        """The headings of the columns that there is no room for."""
        return [heading for i, heading in enumerate(self.headings) if i not in self.kept and heading]

    @property
    def hint(self) -> str:
        """What the width has cost, and where all of it is; empty where nothing."""
        said = ["counts are rounded (--exact)"] if self.short else []
        if self.dropped:
            said.append(f"no room for {', '.join(dict.fromkeys(self.dropped))} (a wider terminal, or --format json)")
        return "; ".join(said)

    def lines(self, row: Sequence[str], style: str = "") -> list[list[tuple[str, str]]]:
        """A row's lines, one unless words are wrapped, each of parts with their styles."""
        texts = [cell(_shortened(row[i]) if self.short else row[i]) for i in self.kept]
        styles = [style or getattr(row[i], "style", "") for i in self.kept]
        folded = {}
        if self.wrapped is not None and len(texts[self.wrapped]) > self.widths[self.wrapped]:
            folded[self.wrapped] = textwrap.wrap(texts[self.wrapped], self.widths[self.wrapped], break_long_words=False)
        lines = []
        for n in range(max([1, *map(len, folded.values())])):
            each = [
                (folded[i] + [""] * n)[n] if i in folded else text if n == 0 else "" for i, text in enumerate(texts)
            ]
            lines.append(list(zip(self._padded(each), styles, strict=True)))
        return lines

    def _padded(self, texts: Sequence[str]) -> list[str]:
        left = sum(i < self.left for i in self.kept)
        padded = [
            f"{t:<{w}}" if i < left else f"{t:>{w}}" for i, (t, w) in enumerate(zip(texts, self.widths, strict=True))
        ]
        line = [*(text + GAP for text in padded[:-1]), *padded[-1:]]
        while line and not line[-1].strip():
            line.pop()
        line = [*line[:-1], line[-1].rstrip()] if line else line
        return [*line, *[""] * (len(texts) - len(line))]


def layout(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, left: int = 1, drop: Sequence[int] = (),
    exact: bool = False,
) -> Layout:  # fmt: skip
    """A table's layout in so many columns: `drop` are those that go first, in that order, then the rightmost.

    The first `left` columns stand left, and of them the first always. Counts stay in full where `exact`.
    """
    last = [i for i in range(len(headings) - 1, 0, -1) if i not in drop]
    going = [*drop, *last]
    whole = tuple(range(len(headings)))
    plans = [(whole, False)] + [(whole, True)] * (not exact)
    for kept, short in plans:
        made = _measured(headings, rows, kept, left, short=short)
        if _width(made) <= width:
            return made
    for n in range(len(going)):
        kept = tuple(i for i in whole if i not in going[:n])
        made = _wrapped(_measured(headings, rows, kept, left, short=not exact), rows, width)
        if _width(made) <= width:
            return made
    return _measured(headings, rows, (0,), left, short=not exact)


def _measured(
    headings: Sequence[str], rows: Sequence[Sequence[str]], kept: tuple[int, ...], left: int, *, short: bool
) -> Layout:
    shown = [[_shortened(text) if short else text for text in row] for row in (headings, *rows)]
    widths = tuple(max(len(cell(row[i])) for row in shown) for i in kept)
    shortened = short and any(_shortened(row[i]) != str(row[i]) for row in rows for i in kept)
    return Layout(tuple(headings), kept, widths, left, short and shortened)


def _width(made: Layout) -> int:
    return sum(made.widths) + len(GAP) * (len(made.widths) - 1)


def _wrapped(made: Layout, rows: Sequence[Sequence[str]], width: int) -> Layout:
    """The widest column of words made as narrow as is needed, where its words allow it."""
    texts = [i for i in range(len(made.kept)) if made.kept[i] < made.left]
    widest = max(texts, key=lambda i: made.widths[i])
    room = made.widths[widest] - (_width(made) - width)
    cells = [cell(row[made.kept[widest]]).strip() for row in rows]
    words = [word for text in cells for word in text.split()]
    if room >= made.widths[widest] or room < max([NARROWEST, *map(len, words)]) or not any(" " in c for c in cells):
        return made
    widths = (*made.widths[:widest], room, *made.widths[widest + 1 :])
    return Layout(made.headings, made.kept, widths, made.left, made.short, widest)
