"""Text in Markdown that means nothing to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from analyzer.shown import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
_START = re.compile(r"^([#+=>-]|[0-9]+[.)](?=\s|$))")
_LINKS = re.compile(r"(@|#|://|www)")  # what GitHub makes links of, after Markdown
_BREAKS = re.compile(r"[\t\n\r\u2028\u2029]+")
_WORD_JOINER = "\u2060"


def escape(text: object) -> str:
    """Text that means nothing in Markdown or HTML: no markup, link, mention or cell break."""
    plain = visible(_BREAKS.sub(" ", str(text)).strip())
    plain = _SPECIAL.sub(r"\\\1", plain).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = _LINKS.sub(lambda match: match[0][0] + _WORD_JOINER + match[0][1:], plain)
    return _START.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], plain)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """The lines of a table, its first columns set to the left, and an empty one."""
    yield "| " + " | ".join(escape(cell) for cell in headings) + " |"
    yield "|" + "|".join(" --- " if i < left else " ---: " for i in range(len(headings))) + "|"
    for row in rows:
        yield "| " + " | ".join(escape(cell) for cell in row) + " |"
    yield ""
