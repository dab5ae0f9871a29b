"""What a verb answers with: sentences and tables as data, shown alike on a terminal, in a notebook and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from analyzer.limits import Limit
from analyzer.records import Record
from analyzer.structs import Shown


class AnswerTable(NamedTuple):
    """A table of text. The first `left` columns are words, the others numbers; `drop` names columns in the order in
    which they go where there is no room.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    drop: Sequence[int] = ()


@dataclass(frozen=True)
class AnswerParts:
    """A title, the tables that have rows, what is to be said of them; cards of a record's figures under limits."""

    title: str
    tables: tuple[AnswerTable, ...]
    words: tuple[str, ...] = ()
    record: Record | None = None
    limits: tuple[Limit, ...] = ()


class Answering(Shown):
    """A result that says itself as AnswerParts: its cell and its page are made of that."""

    __slots__ = ()
    shown_by: ClassVar[str] = "analyzer.reporting.answer_page"

    def answer(self) -> AnswerParts:
        """What there is to show."""
        raise NotImplementedError
