"""Groups of layers by glob: `*` is any part of a name in a path, `**` any number of names, none included.

A name means its subtree: what matches a module matches all below it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from analyzer.records import LayerRow

_ANY = "**"


@cache
def matcher(glob: str) -> Callable[[str], bool]:
    """Whether a module's path matches: `features.denseblock4` is that module and all below it."""
    parts = glob.split(".")
    parts = [part for i, part in enumerate(parts) if part != _ANY or parts[i - 1 : i] != [_ANY]]
    if parts[-1] != _ANY:
        parts.append(_ANY)

    def reached(places: Iterable[int]) -> set[int]:
        """The places, and those behind a `**` that takes nothing."""
        return {place + step for place in places for step in (0, 1) if step == 0 or parts[place : place + 1] == [_ANY]}

    def matches(path: str) -> bool:
        # All places of the glob that the path so far may stand at, so that no path is read twice.
        places = reached([0])
        for name in path.split(".") if path else ():
            stays = (place for place in places if parts[place : place + 1] == [_ANY])
            goes = (place + 1 for place in places if place < len(parts) and _is_named(name, parts[place]))
            places = reached([*stays, *goes])
        return len(parts) in places

    return matches


def _is_named(name: str, pattern: str) -> bool:
    """Whether a name has the pattern's pieces in their order, the first at its start and the last at its end."""
    if pattern == _ANY:
        return False
    first, *pieces = pattern.split("*")
    if not pieces:
        return bool(name) and name == first
    last, at = pieces.pop(), len(first)
    if not name.startswith(first):
        return False
    for piece in pieces:
        at = name.find(piece, at) + len(piece)
        if at < len(piece):
            return False
    return len(name) - at >= len(last) and name.endswith(last)


def nearest(rows: Sequence[LayerRow], glob: str, share: Callable[[LayerRow], int | None]) -> str | None:
    """The glob of a subtree with some share of a figure that may be meant: the nearest around what `glob` matches, else
    the one most like it; None where nothing is.
    """
    names = {
        ".".join(parts[:length])
        for row in rows
        if share(row)
        for parts in [row.path.split(".")]
        for length in range(1, len(parts) + 1)
        if row.path
    }
    for row in matching(rows, glob):
        parts = row.path.split(".")
        around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        if near := next((name for name in around if name in names), None):
            return f"{near}.{_ANY}"
    said = glob.removesuffix(f".{_ANY}")
    like = difflib.get_close_matches(said, sorted(names), n=1, cutoff=0.6)
    return f"{like[0]}.{_ANY}" if like else None


def matching(rows: Iterable[LayerRow], glob: str) -> list[LayerRow]:
    """The rows whose path matches."""
    matches = matcher(glob)
    return [row for row in rows if matches(row.path)]
