"""Grid: every combination of the values of some axes, as variants; a bad combination is reported, not fatal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.architecture.axes import Axis, alternatives, axis
from analyzer.architecture.values import Depths
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, VariantError


@dataclass(frozen=True)
class BadVariant:
    """A combination that no variant can have: how it was asked for, and the reason."""

    name: str
    error: VariantError


class Listed:
    """Variants one by one, each once, in the place of a grid. Raises UsageError where there are none."""

    def __init__(self, variants: Iterable[Variant]) -> None:
        self.variants = tuple(dict.fromkeys(variants))
        if not self.variants:
            raise UsageError("no variant to sweep", where="axes", fix="name some")

    def __len__(self) -> int:
        return len(self.variants)

    def __iter__(self) -> Iterator[Variant | BadVariant]:
        return iter(self.variants)


class Grid:
    """All combinations of the given axes: `Grid(blocks=[(2, 4, 3, 2)], growth=["double", 32])`.

    Keywords are the command's option names (`blocks`, `bn_size`) or Variant's field names; each takes a sequence of
    values or a single one. Axes left out keep Variant's default. `ratio` and `bn_size` both say the hidden width, so
    their values are alternatives. Raises UsageError on an unknown axis or an empty one.
    """

    def __init__(self, **axes: Any) -> None:
        self.axes = given(axes)

    @classmethod
    def default(cls, axes: Mapping[str, Sequence[Any]]) -> Grid:
        """The given axes, and for those left out of block, growth and compression the sweep's usual values."""
        usual: dict[str, Sequence[Any]] = {
            "block": ("residual", "dense"),
            "growth": ("double", 12, 16, 24, 32, 48),
            "compression": (0.25, 0.5, 1.0),
        }
        grid = cls(**{**usual, **axes})
        grid._double_only_residual = "growth" not in axes
        return grid

    _double_only_residual = False

    def at(self, **axes: Any) -> Grid:
        """The same grid but for some axes."""
        grid = Grid(**{**self.axes, **given(axes)})
        grid._double_only_residual = self._double_only_residual
        return grid

    def __len__(self) -> int:
        """Combinations, bad and repeated ones included."""
        return math.prod(map(len, self._choices()))

    def __iter__(self) -> Iterator[Variant | BadVariant]:
        seen: set[Variant] = set()
        for values in itertools.product(*self._choices()):
            fields = dict(values)
            if self._double_only_residual and fields["growth"] == "double" and fields["block"] == "dense":
                continue
            try:
                variant = Variant(**fields)
            except VariantError as error:
                yield BadVariant(_text(fields), error)
                continue
            if variant not in seen:
                seen.add(variant)
                yield variant

    def _choices(self) -> list[list[tuple[str, Any]]]:
        """For each axis its field with each value; alternatives are one choice, after all others."""
        groups = sorted(dict.fromkeys(map(alternatives, self.axes)), key=len)
        return [[(name, value) for name in group for value in self.axes.get(name, ())] for group in groups]


def given(axes: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Axes by field, each with its values. Raises UsageError on an unknown one, an empty one, one said twice."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, values in axes.items():
        known = axis(name)
        if known.field in found:
            raise UsageError("is said twice", where=name, fix=f"say {known.option} once")
        found[known.field] = values_of(known, values)
        if not found[known.field]:
            raise UsageError("has no values", where=name, fix="give at least one, or leave the axis out")
    return found


def values_of(axis: Axis, values: Any) -> tuple[Any, ...]:
    """An axis's values from a sequence or a single one."""
    if isinstance(values, (str, int, float)):
        return (values,)
    many: tuple[Any, ...] = tuple(tuple(value) if isinstance(value, list) else value for value in values)
    return (many,) if isinstance(axis.values, Depths) and many and isinstance(many[0], int) else many


def _text(fields: Mapping[str, Any]) -> str:
    """`block=dense blocks=2,4 kernel=4`: how a bad combination is named."""
    return " ".join(f"{axis(name).option}={axis(name).text(value)}" for name, value in fields.items())
