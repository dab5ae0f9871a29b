"""Steps of an axis's value: a small one, the usual ones, and all of them from mild to strong. What can't be is skipped
by whoever takes the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_PARTS = 32


def nudged(value: Any) -> Any:
    """About a sixteenth more, so that floors of widths average out."""
    return value * (1 + 1 / 16) if isinstance(value, float) else value + max(1, value // 16)


def nudged_share(value: float) -> float:
    """That of a share; downwards where there is no more."""
    return nudged(value) if value * (1 + 1 / 16) <= 1 else value * (1 - 1 / 16)


def halved(value: Any) -> Iterable[Any]:
    """Half of a number; nothing for what is said for each stage."""
    if isinstance(value, tuple):
        return ()
    return (value / 2,) if isinstance(value, float) else (max(1, value // 2),)


def less(value: Any) -> Iterable[Any]:
    """Of a whole number all below it; of any other, and of each stage's, 31/32, 30/32, … of it."""
    shares = range(_PARTS - 1, 0, -1)
    if isinstance(value, tuple):
        return (tuple(_part(each, share) for each in value) for share in shares)
    return (value * share / _PARTS for share in shares) if isinstance(value, float) else range(value - 1, 0, -1)


def _part(value: float, share: int) -> float:
    if isinstance(value, int):
        return max(1, value * share // _PARTS)
    return max(round(value * share / _PARTS, 4), 0.0001)


def hundredths(value: Any) -> Iterable[Any]:
    """Of a share all hundredths below it; of each stage's as `less`."""
    if isinstance(value, tuple):
        return less(value)
    return (i / 100 for i in range(int(value * 100), 0, -1) if i / 100 < value)


def doubled(value: int) -> Iterable[int]:
    """2, 4, 8, … times as many."""
    return (value * 2**i for i in range(1, 9))


def shallower(depths: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """One layer less, the deepest stage first, until every stage has one."""
    now = list(depths)
    while max(now) > 1:
        now[max(range(len(now)), key=lambda i: (now[i], i))] -= 1
        yield tuple(now)


def one_layer_less(depths: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """One layer less in each stage in turn."""
    for stage, depth in enumerate(depths):
        if depth > 1:
            yield (*depths[:stage], depth - 1, *depths[stage + 1 :])
