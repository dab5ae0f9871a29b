"""A verb's answer -> a notebook's cell, or one HTML file without a script: the page's cards and tables."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from analyzer.answers import Answering, AnswerParts
from analyzer.files import write_text
from analyzer.reporting.data import now
from analyzer.reporting.notebook import body_of, framed
from analyzer.reporting.page import environment, scriptless


def cell(result: Answering) -> str:
    """For a notebook's cell."""
    return framed(_body(result.answer()))


def write_page(result: Answering, path: str | Path) -> None:
    """Writes the page whole or not at all. Raises UsageError where it can't be written."""
    answer = result.answer()
    write_small(answer.title, _body(answer), path)


def write_small(title: str, body: Markup, path: str | Path) -> None:
    """A page of one part under its title."""
    write_text(Path(path), scriptless("answer.html.j2", {"title": title, "body": body, "generated": now()}))


def _body(answer: AnswerParts) -> Markup:
    """A record's verdict and cards, then the tables and what is to be said."""
    figures = body_of(answer.record, answer.limits) if answer.record is not None else ""
    tables = environment().get_template("answer_body.html.j2").render(answer=answer)
    return Markup(figures + tables)
