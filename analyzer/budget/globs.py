"""Groups of layers by glob: `*` is any name in a path, `**` any number of them, none included."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from analyzer.records import LayerRow


@cache
def matcher(glob: str) -> Callable[[str], bool]:
    """Whether a module's path matches: `features.denseblock4.**` is that module and all below it."""
    pattern = ""
    for part in glob.split("."):
        if part == "**":
            pattern += r"(?:\.[^.]+)*"
        else:
            pattern += r"\." + "[^.]*".join(map(re.escape, part.split("*")))
    compiled = re.compile(pattern)
    return lambda path: compiled.fullmatch("." + path if path else "") is not None


def matching(rows: Iterable[LayerRow], glob: str) -> list[LayerRow]:
    """The rows whose path matches."""
    matches = matcher(glob)
    return [row for row in rows if matches(row.path)]
