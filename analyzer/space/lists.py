"""Many values of an axis from an option's texts: lists and ranges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from analyzer.architecture.axes import Axis
from analyzer.architecture.values import DECIMAL, Each
from analyzer.errors import UsageError

MAX_VALUES = 1_000_000
"""Values of one axis: a range beyond this is a slip of the keyboard."""


def many(axis: Axis, texts: Iterable[str]) -> tuple[Any, ...]:
    """Every value of an option given several times, each a list or a range; repeats once, in order.

    A range in place of a stage's value is all of its values there: `8:64:8/16:64:16` is every pair of them. Raises
    UsageError.
    """
    values: dict[Any, None] = {}
    for text in texts:
        for part in text.split(",") if axis.values.lists else [text]:
            values.update(dict.fromkeys(_values(axis, part)))
    return tuple(values)


def _values(axis: Axis, text: str) -> Iterable[Any]:
    if ":" not in text:
        return [axis.one(text)]
    stages = text.split("/")
    if len(stages) == 1 or not isinstance(axis.values, Each):
        return _range(axis, text)
    each = [_range(axis, stage) if ":" in stage else [axis.one(stage)] for stage in stages]
    _require_few(axis, text, math.prod(len(values) for values in each))
    return itertools.product(*each)


def _require_few(axis: Axis, text: str, number: int) -> None:
    if number > MAX_VALUES:
        raise UsageError(f"{text[:80]!r} has {number:,} values", where=f"--{axis.option}", fix="use a larger step")


def _range(axis: Axis, text: str) -> list[Any]:
    """`low:high:step` (step 1 when left out), both ends in it. Raises UsageError."""
    where = f"--{axis.option}"
    if not axis.values.ranges:
        raise UsageError(f"{text[:80]!r} is a range", where=where, fix="list the values with commas")
    try:
        parts = [Decimal(part) for part in text.split(":") if DECIMAL.fullmatch(part.strip())]
    except InvalidOperation:
        parts = []
    if len(parts) != text.count(":") + 1 or not 2 <= len(parts) <= 3:
        raise UsageError(f"{text[:80]!r} is not a range", where=where, fix="write it as low:high:step, 8:64:8")
    low, high, step = (*parts, Decimal(1))[:3]
    if step <= 0 or high < low:
        fix = "low first, high second, a positive step"
        raise UsageError(f"{text[:80]!r} is an empty range", where=where, fix=fix)
    number = int((high - low) / step) + 1
    _require_few(axis, text, number)
    return [axis.one(format((low + i * step).normalize(), "f")) for i in range(number)]
