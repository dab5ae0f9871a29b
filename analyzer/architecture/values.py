"""What values an axis can have: how one reads in an option and in a name, what is allowed, how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol

from analyzer.errors import VariantError, did_you_mean

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
DECIMAL = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})(e[+-]?[0-9]{1,2})?", re.IGNORECASE)
_NAMED_WHOLE = re.compile(r"[0-9]{1,12}")
_NAMED_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,30})?")

Per = Literal["stage", "transition"]


class Values(Protocol):
    """The values of an axis.

    `lists` says whether a comma separates values, `ranges` whether `low:high:step` is some, `between` what separates
    the parts of one value in an option.
    """

    lists: ClassVar[bool]
    ranges: ClassVar[bool]
    between: ClassVar[str]

    def read(self, text: str) -> Any:
        """The value of an option's text. Raises ValueError."""

    def held(self, name: str, value: Any, stages: int | None) -> Any:
        """The value in its one form; `stages` None: how many parts it has is not looked at. Raises VariantError."""

    def written(self, value: Any) -> str:
        """The value in a canonical name: no `_`, `/` or space in it."""

    def parsed(self, text: str) -> Any:
        """The value of a name's part. Raises ValueError."""


@dataclass(frozen=True)
class Word:
    """A name of those known."""

    known: Mapping[str, Any]
    lists: ClassVar[bool] = True
    ranges: ClassVar[bool] = False
    between: ClassVar[str] = "/"

    def read(self, text: str) -> str:
        """Any word; whether it is known is `held`'s to say."""
        if not text:
            raise ValueError("is empty")
        return text

    def held(self, name: str, value: Any, stages: int | None) -> str:
        """The word itself."""
        if not isinstance(value, str) or value not in self.known:
            raise VariantError(f"unknown {name} {value!r}", where=name, fix=did_you_mean(str(value), self.known))
        return value

    def written(self, value: str) -> str:
        """The word itself."""
        return value

    def parsed(self, text: str) -> str:
        """The word itself."""
        return text


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int
    odd: bool = False
    lists: ClassVar[bool] = True
    ranges: ClassVar[bool] = True
    between: ClassVar[str] = "/"

    def read(self, text: str) -> int:
        """`64`."""
        if not _WHOLE.fullmatch(text):
            raise ValueError("is not a whole number")
        return int(text)

    def held(self, name: str, value: Any, stages: int | None) -> int:
        """A plain int, also of a NumPy integer; no bool."""
        number = _int(value)
        if number is None or not self.least <= number <= self.most:
            allowed = f"use a whole number from {self.least} to {self.most:,}"
            raise VariantError(f"{name} {value!r} is out of range", where=name, fix=allowed)
        if self.odd and number % 2 == 0:
            raise VariantError(f"{name} {number} is even", where=name, fix=f"use an odd {name}: 1, 3, 5, 7")
        return number

    def written(self, value: int) -> str:
        """Its digits."""
        return str(value)

    def parsed(self, text: str) -> int:
        """Digits alone."""
        if not _NAMED_WHOLE.fullmatch(text):
            raise ValueError(text)
        return int(text)


@dataclass(frozen=True)
class Real:
    """A number from `least` to `most` (`below`: to under it), or 0 where `zero` says so."""

    least: float
    most: float
    zero: bool = False
    below: bool = False
    lists: ClassVar[bool] = True
    ranges: ClassVar[bool] = True
    between: ClassVar[str] = "/"

    def read(self, text: str) -> float:
        """`0.25`, `1e-2`."""
        if not DECIMAL.fullmatch(text):
            raise ValueError("is not a number")
        return float(text)

    def held(self, name: str, value: Any, stages: int | None) -> float:
        """A plain float, also of any number; no bool, no NaN."""
        allowed = f"use a number {'0, or ' * self.zero}from {self.least} to {'under ' * self.below}{self.most}"
        if isinstance(value, bool) or (not isinstance(value, (int, float)) and not hasattr(value, "__float__")):
            raise VariantError(f"{name} {value!r} is not a number", where=name, fix=allowed)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        within = self.least <= number <= self.most and not (self.below and number == self.most)
        if not (within or (self.zero and number == 0)):
            raise VariantError(f"{name} {value!r} is out of range", where=name, fix=allowed)
        return number

    def written(self, value: float) -> str:
        """Its digits; never an exponent, whose sign would be a separator."""
        return format(Decimal(repr(value)), "f")

    def parsed(self, text: str) -> float:
        """Digits and a point."""
        if not _NAMED_DECIMAL.fullmatch(text):
            raise ValueError(text)
        return float(text)


@dataclass(frozen=True)
class Each:
    """One number, or one for each stage (transition); equal ones are one number. Or one of some words."""

    number: Whole | Real
    per: Per
    words: tuple[str, ...] = ()
    lists: ClassVar[bool] = True
    ranges: ClassVar[bool] = True
    between: ClassVar[str] = "/"

    def read(self, text: str) -> Any:
        """`double`, `32`, `16/32/64/128`."""
        if text in self.words:
            return text
        parts = tuple(self.number.read(part.strip()) for part in text.split("/"))
        return parts if len(parts) > 1 else parts[0]

    def held(self, name: str, value: Any, stages: int | None) -> Any:
        """A word, a number, or a tuple of numbers that are not all one."""
        if isinstance(value, str):
            if value not in self.words:
                words = " or ".join([*self.words, "a number"])
                raise VariantError(f"{name} {value!r} is unknown", where=name, fix=f"use {words}, or one a {self.per}")
            return value
        if not isinstance(value, (tuple, list)):
            return self.number.held(name, value, stages)
        places = len(value) if stages is None else stages - (self.per == "transition")
        if len(value) != places or not value:
            what = f"{name} has {len(value)} entries for {places} {self.per}s"
            raise VariantError(what, where=name, fix=f"give one, or one a {self.per}")
        each = tuple(self.number.held(name, part, stages) for part in value)
        return each[0] if len(set(each)) == 1 else each

    def written(self, value: Any) -> str:
        """`double`, `32`, `16-32-64-128`."""
        if isinstance(value, str):
            return value
        parts = value if isinstance(value, tuple) else (value,)
        return "-".join(self.number.written(part) for part in parts)

    def parsed(self, text: str) -> Any:
        """As written."""
        if text in self.words:
            return text
        each = tuple(self.number.parsed(part) for part in text.split("-"))
        return each if len(each) > 1 else each[0]


@dataclass(frozen=True)
class Depths:
    """How many layers each of 1 to `stages` stages has."""

    stages: int
    layers: Whole
    lists: ClassVar[bool] = False
    ranges: ClassVar[bool] = False
    between: ClassVar[str] = ","

    def read(self, text: str) -> tuple[int, ...]:
        """`2,4,3,2`."""
        return tuple(self.layers.read(part.strip()) for part in text.split(","))

    def held(self, name: str, value: Any, stages: int | None) -> tuple[int, ...]:
        """A tuple of plain ints."""
        depths = tuple(map(_int, value)) if isinstance(value, (tuple, list)) else ()
        known = tuple(depth for depth in depths if depth and self.layers.least <= depth <= self.layers.most)
        if not 1 <= len(depths) <= self.stages or known != depths:
            what = f"{name} {value!r} is not 1 to {self.stages} stages of 1 to {self.layers.most} layers"
            raise VariantError(what, where=name, fix="such as 2,4,3,2")
        return known

    def written(self, value: tuple[int, ...]) -> str:
        """`2-4-3-2`."""
        return "-".join(map(self.layers.written, value))

    def parsed(self, text: str) -> tuple[int, ...]:
        """As written."""
        return tuple(map(self.layers.parsed, text.split("-")))


def _int(value: Any) -> int | None:
    """A plain int from an int or NumPy integer; None for anything else, bools included."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value)
