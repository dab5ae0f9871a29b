"""Grid: every combination of the values of some axes, as variants; a bad combination is reported, not fatal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, VariantError
from analyzer.space.axes import axis

Hidden = tuple[str, float | int] | None


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
        self.axes: dict[str, tuple[Any, ...]] = {}
        for name, values in axes.items():
            field = axis(name).field
            self.axes[field] = values_of(field, values)
            if not self.axes[field]:
                raise UsageError("has no values", where=name, fix="give at least one, or leave the axis out")

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

    def __len__(self) -> int:
        """Combinations, bad and repeated ones included."""
        hidden = len(self._hidden())
        rest = math.prod(len(v) for k, v in self.axes.items() if k not in ("ratio", "bn_size"))
        return rest * hidden

    def __iter__(self) -> Iterator[Variant | BadVariant]:
        seen: set[Variant] = set()
        names = [name for name in self.axes if name not in ("ratio", "bn_size")]
        for *values, hidden in itertools.product(*(self.axes[name] for name in names), self._hidden()):
            fields = dict(zip(names, values, strict=True))
            if hidden is not None:
                fields[hidden[0]] = hidden[1]
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

    def _hidden(self) -> list[Hidden]:
        said: list[Hidden] = [(name, v) for name in ("ratio", "bn_size") for v in self.axes.get(name, ())]
        return said or [None]


def values_of(field: str, values: Any) -> tuple[Any, ...]:
    """An axis's values from a sequence or a single one."""
    if isinstance(values, (str, int, float)):
        return (values,)
    many: tuple[Any, ...] = tuple(values)
    return (many,) if field == "block_config" and many and isinstance(many[0], int) else many


def _text(fields: Mapping[str, Any]) -> str:
    """`block=dense blocks=2,4 kernel=4`: how a bad combination is named."""

    def value(v: Any) -> str:
        return ",".join(map(str, v)) if isinstance(v, tuple) else str(v)

    return " ".join(f"{axis(name).option}={value(v)}" for name, v in fields.items())
