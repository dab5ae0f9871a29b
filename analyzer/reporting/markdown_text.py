"""Text in Markdown that means nothing to it."""

from __future__ import annotations

import re

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
