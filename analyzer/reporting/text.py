"""Text as a page shows it."""

from __future__ import annotations

import re
from typing import Any

from analyzer import units

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def visible(content: Any) -> Any:
    """Text with characters that are not seen, or that reorder what stands beside them, written out: `\\u202e`."""
    if not isinstance(content, str) or hasattr(content, "__html__"):
        return content
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", content)


def times(value: int | float | None, base: int | float | None) -> str:
    """`21.55×`: how many times the base; a dash where either is absent or the base is 0."""
    return units.ratio(value, base).replace("x", "×")
