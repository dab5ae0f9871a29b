"""Text as a page shows it."""

from __future__ import annotations

from analyzer import units
from analyzer.training.statistics import Estimate


def times(value: int | float | None, base: int | float | None) -> str:
    """`21.55×`: how many times the base; a dash where either is absent or the base is 0."""
    return units.ratio(value, base).replace("x", "×")


def share(one: Estimate | None) -> str:
    """An accuracy in points with its interval: `58.3 % (55.1 to 61.5)`; a dash where it is not known."""
    if one is None:
        return "–"
    return f"{one.value:.1f} %" + ("" if one.low is None else f" ({one.low:.1f} to {one.high:.1f})")


def difference(one: Estimate | None) -> str:
    """A difference in points with its interval: `+1.2 (−0.3 to +2.7)`; a dash where it is not known."""
    if one is None:
        return "–"
    ends = "" if one.low is None else f" ({one.low:+.1f} to {one.high:+.1f})"
    return f"{one.value:+.1f}{ends}".replace("-", "−")
