"""Axes of the family: what each option's text means, as one value or as many (lists and ranges)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from analyzer.errors import UsageError, did_you_mean

MAX_VALUES = 1_000_000
"""Values of one axis: a range beyond this is a slip of the keyboard."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})(e[+-]?[0-9]{1,2})?", re.IGNORECASE)


@dataclass(frozen=True)
class Axis:
    """An option of the family: its name on the command line, its field in Variant, how one value reads."""

    option: str
    field: str
    read: Callable[[str], Any]
    help: str
    lists: bool = True

    def one(self, text: str) -> Any:
        """The value of `text`. Raises UsageError."""
        try:
            return self.read(text.strip())
        except ValueError as error:
            raise UsageError(f"{text[:80]!r}: {error}", where=f"--{self.option}", fix=self.help) from None

    def many(self, texts: Iterable[str]) -> tuple[Any, ...]:
        """Every value of an option given several times, each a list or a range; repeats once, in order.

        A range in place of a stage's value is all of its values there: `8:64:8/16:64:16` is every pair of them.
        """
        values: dict[Any, None] = {}
        for text in texts:
            for part in text.split(",") if self.lists else [text]:
                values.update(dict.fromkeys(self._values(part)))
        return tuple(values)

    def _values(self, text: str) -> Iterable[Any]:
        if ":" not in text:
            return [self.one(text)]
        stages = text.split("/")
        if len(stages) == 1 or self.read not in (decimals, growth):
            return self._range(text)
        each = [self._range(stage) if ":" in stage else [self.one(stage)] for stage in stages]
        self._require_few(text, math.prod(len(values) for values in each))
        return itertools.product(*each)

    def _require_few(self, text: str, number: int) -> None:
        if number > MAX_VALUES:
            raise UsageError(f"{text[:80]!r} has {number:,} values", where=f"--{self.option}", fix="use a larger step")

    def _range(self, text: str) -> list[Any]:
        """`low:high:step` (step 1 when left out), both ends in it. Raises UsageError."""
        if self.read not in (whole, decimal, decimals, growth):
            raise UsageError(f"{text[:80]!r} is a range", where=f"--{self.option}", fix="list the values with commas")
        try:
            parts = [Decimal(part) for part in text.split(":") if _DECIMAL.fullmatch(part.strip())]
        except InvalidOperation:
            parts = []
        if len(parts) != text.count(":") + 1 or not 2 <= len(parts) <= 3:
            raise UsageError(
                f"{text[:80]!r} is not a range", where=f"--{self.option}", fix="write it as low:high:step, 8:64:8"
            )
        low, high, step = (*parts, Decimal(1))[:3]
        if step <= 0 or high < low:
            raise UsageError(
                f"{text[:80]!r} is an empty range",
                where=f"--{self.option}",
                fix="low first, high second, a positive step",
            )
        number = int((high - low) / step) + 1
        self._require_few(text, number)
        return [self.one(format((low + i * step).normalize(), "f")) for i in range(number)]


def word(text: str) -> str:
    """A name."""
    if not text:
        raise ValueError("is empty")
    return text


def whole(text: str) -> int:
    """An integer."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("is not a whole number")
    return int(text)


def decimal(text: str) -> float:
    """A decimal number."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("is not a number")
    return float(text)


def decimals(text: str) -> float | tuple[float, ...]:
    """A decimal number, or one a stage: `0.5/0.25/0.25/0.125`."""
    parts = tuple(decimal(part.strip()) for part in text.split("/"))
    return parts if len(parts) > 1 else parts[0]


def growth(text: str) -> str | int | tuple[int, ...]:
    """`double`, an integer, or one a stage: `16/32/64/128`."""
    if text == "double":
        return text
    parts = tuple(whole(part.strip()) for part in text.split("/"))
    return parts if len(parts) > 1 else parts[0]


def depths(text: str) -> tuple[int, ...]:
    """Layers a stage: `2,4,3,2`."""
    return tuple(whole(part.strip()) for part in text.split(","))


AXES = {
    axis.option: axis
    for axis in (
        Axis("block", "block", word, "residual, dense, basic, bottleneck, vovnet, ... (CONTRIBUTING.md lists them)"),
        Axis(
            "blocks",
            "block_config",
            depths,
            "layers a stage, such as 2,4,3,2; repeat the option for several",
            lists=False,
        ),
        Axis("growth", "growth", growth, "double, 32, or one a stage: 16/32/64/128"),
        Axis(
            "ratio", "ratio", decimals, "hidden width as a share of the input, such as 0.25, or one a stage: 0.5/0.25"
        ),
        Axis("bn-size", "bn_size", whole, "hidden width as a multiple of the growth, such as 4"),
        Axis(
            "compression",
            "compression",
            decimals,
            "share of channels a transition keeps: 0.5, or one each: 0.5/0.25/0.5",
        ),
        Axis("init", "init", whole, "channels after the stem, such as 64"),
        Axis("stem", "stem", word, "imagenet, deep, small or strided"),
        Axis("groups", "groups", whole, "groups of the 3x3 convolutions, such as 1"),
        Axis("kernel", "kernel", whole, "kernel of the 3x3 convolutions, odd, such as 3"),
        Axis("drop", "drop", decimal, "dropout rate, such as 0"),
        Axis("classes", "classes", whole, "outputs of the classifier, such as 2"),
        Axis("image", "image", whole, "image height and width in px, such as 224"),
    )
}


def axis(name: str, *, where: str = "axes") -> Axis:
    """The axis of an option's or a field's name. Raises UsageError with the nearest name."""
    for candidate in AXES.values():
        if name in (candidate.option, candidate.field, candidate.option.replace("-", "_")):
            return candidate
    raise UsageError(f"unknown axis {name!r}", where=where, fix=did_you_mean(name, AXES))
