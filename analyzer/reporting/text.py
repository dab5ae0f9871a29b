"""Text as a page shows it."""

from __future__ import annotations

from analyzer import units


def times(value: int | float | None, base: int | float | None) -> str:
    """`21.55×`: how many times the base; a dash where either is absent or the base is 0."""
    return units.ratio(value, base).replace("x", "×")
