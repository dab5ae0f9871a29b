"""Space: all combinations of some axes, addressed by index and never listed, as columns of any chunk of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import Columns
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, VariantError
from analyzer.reading.family import NUMERIC
from analyzer.space.axes import axis
from analyzer.space.grid import values_of

Indices = npt.NDArray[np.int64]
STRUCTURAL = ("block", "block_config", "stem", "drop")
GROUPED = ("growth", "ratio", "bn_size", "compression", "groups")
"""Numeric axes whose values may be of several kinds (a word, a number, one a stage; 1 or more), one kind a part."""
LIMIT = 2**62
"""Variants a space may hold: indices stay int64 with room for a sum of two."""


@dataclass(frozen=True)
class SpacePart:
    """The variants of one structure: a fixed part, and numeric axes that vary, the last one fastest."""

    fixed: Variant
    axes: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def size(self) -> int:
        """How many variants."""
        return math.prod(len(values) for _, values in self.axes)

    def columns(self, indices: Indices) -> Columns:
        """The variants at these indices, as columns."""
        fields = {name: getattr(self.fixed, name) for name in (*STRUCTURAL, *NUMERIC)}
        rest = indices
        for name, values in reversed(self.axes):
            rest, digit = np.divmod(rest, len(values))
            if len(values) == 1:
                fields[name] = values[0]
            elif isinstance(values[0], tuple):
                fields[name] = tuple(np.array(stage)[digit] for stage in zip(*values, strict=True))
            else:
                fields[name] = np.array(values)[digit]
        return Columns(**fields)

    def variant(self, index: int) -> Variant:
        """The variant at an index. Raises VariantError where its fields can't go together."""
        digits = self.digits(index)
        return replace(self.fixed, **{name: values[d] for (name, values), d in zip(self.axes, digits, strict=True)})

    def digits(self, index: int) -> list[int]:
        """Of each axis, which of its values the variant at an index has."""
        digits = []
        for _, values in reversed(self.axes):
            index, digit = divmod(index, len(values))
            digits.append(digit)
        return digits[::-1]

    def index(self, digits: Sequence[int]) -> int:
        """The index of the variant with these digits."""
        index = 0
        for (_, values), digit in zip(self.axes, digits, strict=True):
            index = index * len(values) + digit
        return index


class Space:
    """All combinations of the given axes: `Space(blocks=[(2, 4, 3, 2)], growth=range(8, 65), ratio=[0.125, 0.25])`.

    Keywords and values as Grid's. Axes left out keep Variant's default. Combinations that no variant can have (one
    growth a stage for another number of stages, a hidden width where the block has none) are left out. Raises
    UsageError on an unknown axis, a value that no variant can have, or an empty space.
    """

    def __init__(self, **axes: Any) -> None:
        self.axes: dict[str, tuple[Any, ...]] = {}
        for name, values in axes.items():
            field = axis(name).field
            self.axes[field] = tuple(dict.fromkeys(values_of(field, values)))
            if not self.axes[field]:
                raise UsageError("has no values", where=name, fix="give at least one, or leave the axis out")
        self.parts = tuple(self._parts())
        self.size = sum(part.size for part in self.parts)
        if not self.size:
            raise UsageError(
                "the space is empty", where="axes", fix="give growths and hidden widths that fit the blocks"
            )
        if self.size > LIMIT:
            raise UsageError(f"the space has {self.size:.3g} variants", where="axes", fix="narrow the axes")

    def __len__(self) -> int:
        return self.size

    def _parts(self) -> Iterator[SpacePart]:
        default = Variant()
        structural = [self.axes.get(name, (getattr(default, name),)) for name in STRUCTURAL]
        for block, config, stem, drop in itertools.product(*structural):
            growths = _kinds(self.axes.get("growth", ("double",)), len(config))
            hidden_kinds = list(self._hidden_kinds(block, len(config)))
            for growth, hidden, compression in itertools.product(
                growths, hidden_kinds, self._compressions(block, config)
            ):
                varying = {"growth": growth, **hidden, **compression}
                yield self._part({"block": block, "block_config": config, "stem": stem, "drop": drop}, varying)

    def _part(self, structure: dict[str, Any], varying: dict[str, tuple[Any, ...]]) -> SpacePart:
        others = {name: values for name, values in self.axes.items() if name not in (*STRUCTURAL, *GROUPED)}
        axes = {**varying, **others}
        first = {name: values[0] for name, values in axes.items()}
        fixed = Variant(**structure, **first)
        for name, values in axes.items():
            for value in _telling(name, values):
                try:
                    replace(fixed, **{name: value})
                except VariantError as error:
                    raise UsageError(error.what, where=f"--{axis(name).option}", fix=error.fix) from None
        return SpacePart(fixed, tuple(axes.items()))

    def _hidden_kinds(self, block: str, stages: int) -> Iterator[dict[str, tuple[Any, ...]]]:
        said = {name: self.axes[name] for name in ("ratio", "bn_size") if name in self.axes}
        if block not in BLOCKS:
            Variant(block=block)  # raises, with the nearest name
        if not said or not BLOCKS[block].has_hidden:
            yield {}
            return
        for name, values in said.items():
            for kind in _kinds(values, stages):
                yield {name: kind}

    def _compressions(self, block: str, config: tuple[int, ...]) -> list[dict[str, tuple[Any, ...]]]:
        if "compression" not in self.axes or not BLOCKS[block].family.has_transitions:
            return [{}]
        return [{"compression": kind} for kind in _kinds(self.axes["compression"], len(config) - 1)]

    def _groups(self) -> list[dict[str, tuple[Any, ...]]]:
        said = self.axes.get("groups", (1,))
        kinds = (tuple(g for g in said if g == 1), tuple(g for g in said if g != 1))
        return [{"groups": kind} for kind in kinds if kind]


def _kinds(values: Sequence[Any], places: int) -> list[tuple[Any, ...]]:
    """Values that can share one array: words, numbers, one number for each place (of the right length).

    One that is the same in every place is a number, as it is to a variant: no variant stands in a space twice.
    """
    values = list(dict.fromkeys(v[0] if _uniform(v, places) else v for v in values))
    kinds = (
        tuple(v for v in values if isinstance(v, str)),
        tuple(v for v in values if not isinstance(v, (str, tuple))),
        tuple(v for v in values if isinstance(v, tuple) and len(v) == places),
    )
    return [kind for kind in kinds if kind]


def _telling(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values that must be tried to know that all are allowed: whole numbers are, between two that are."""
    if name != "kernel" and all(type(value) is int for value in values):
        return (min(values), max(values))
    return values


def _uniform(value: Any, places: int) -> bool:
    return isinstance(value, tuple) and len(value) == places and len(set(value)) == 1
