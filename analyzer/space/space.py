"""Space: all combinations of some axes, addressed by index and never listed, as columns of any chunk of them."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from analyzer.architecture.axes import AXES, BY_FIELD, FIELDS, Axis, alternatives
from analyzer.architecture.network import Columns
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, VariantError
from analyzer.space.grid import given

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

Indices: TypeAlias = "npt.NDArray[np.int64]"
LIMIT = 2**62
"""Variants a space may hold: indices stay int64 with room for a sum of two."""


STRUCTURAL = tuple(axis.field for axis in AXES if axis.structural)


@dataclass(frozen=True)
class SpacePart:
    """The variants of one structure: a fixed one, and numeric axes that vary, the last one fastest."""

    fixed: Variant
    axes: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def size(self) -> int:
        """How many variants."""
        return math.prod(len(values) for _, values in self.axes)

    def columns(self, indices: Indices) -> Columns:
        """The variants at these indices, as columns."""
        digits, rest = [], indices
        for _, values in reversed(self.axes):
            rest, digit = np.divmod(rest, len(values))
            digits.append(digit)
        return self._filled([values for _, values in self.axes], digits[::-1])

    def _filled(self, chosen: Sequence[Sequence[Any]], digits: Sequence[Indices]) -> Columns:
        """Columns of values of each axis, those at its digits; of a single one the value itself."""
        fields = {name: getattr(self.fixed, name) for name in FIELDS}
        fields.update(dict.fromkeys((other for name, _ in self.axes for other in alternatives(name))))
        for (name, _), values, digit in zip(self.axes, chosen, digits, strict=True):
            if len(values) == 1:
                fields[name] = values[0]
            elif isinstance(values[0], tuple):
                fields[name] = tuple(np.array(stage)[digit] for stage in zip(*values, strict=True))
            else:
                fields[name] = np.array(values)[digit]
        return Columns(**fields)

    def box(self, start: int, most: int) -> tuple[Columns, int]:
        """The variants from an index on that are all combinations of some of the axes' values: at most `most`.

        Columns along axes of their own, which NumPy spreads over all combinations where they meet: what one axis has
        no part in is computed once for all of its values. With them comes how many they are: 1 where the index is none
        that combinations begin at.
        """
        whole = 1
        free = len(self.axes)
        while (
            free and start % (whole * len(self.axes[free - 1][1])) == 0 and whole * len(self.axes[free - 1][1]) <= most
        ):
            free -= 1
            whole *= len(self.axes[free][1])
        digits = self.digits(start)
        chosen = [values if i >= free else (values[digits[i]],) for i, (_, values) in enumerate(self.axes)]
        if free:
            digit = digits[free - 1]
            chosen[free - 1] = self.axes[free - 1][1][digit : digit + max(1, most // whole)]
            whole *= len(chosen[free - 1])
        return self._mesh(chosen), whole

    def even(self, most: int) -> int:
        """The most variants, up to so many, of which every so many are whole combinations of the last axes."""
        whole = 1
        for _, values in reversed(self.axes):
            if whole * len(values) > most:
                break
            whole *= len(values)
        return most // whole * whole

    def _mesh(self, chosen: Sequence[Sequence[Any]]) -> Columns:
        """All combinations of the axes' chosen values, each as an array along an axis of its own."""
        return self._filled(chosen, np.ix_(*(np.arange(len(values)) for values in chosen)))

    def variant(self, index: int) -> Variant:
        """The variant at an index. Raises VariantError where its fields can't go together."""
        digits = self.digits(index)
        numbers = {name: values[digit] for (name, values), digit in zip(self.axes, digits, strict=True)}
        return Variant(**_structure(self.fixed), **numbers)

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

    Keywords and values as Grid's. Axes left out keep Variant's default. Iterating gives the variants of that Grid;
    combinations that no variant can have (one growth a stage for another number of stages, a hidden width where the
    block has none) are left out. Raises UsageError on an unknown axis, a value that no variant can have, or an empty
    space.
    """

    def __init__(self, **axes: Any) -> None:
        self.axes = {name: tuple(dict.fromkeys(values)) for name, values in given(axes).items()}
        for name, values in self.axes.items():
            _require_possible(BY_FIELD[name], values)
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

    def __iter__(self) -> Iterator[Variant]:
        for part in self.parts:
            for index in range(part.size):
                try:
                    yield part.variant(index)
                except VariantError:  # several values said a stage can make a name too long together
                    continue

    @property
    def unused(self) -> list[str]:
        """Values that no variant of the space has, as `block basic`: nothing else that was said goes with them."""
        used: dict[str, set[Any]] = defaultdict(set)
        for part in self.parts:
            for name, values in (*((name, (getattr(part.fixed, name),)) for name in STRUCTURAL), *part.axes):
                used[name].update(values)
        said = ((BY_FIELD[name], value) for name, values in self.axes.items() for value in values)
        return [
            f"{axis.option} {axis.text(value)}" for axis, value in said if _once(axis, value) not in used[axis.field]
        ]

    def _parts(self) -> Iterator[SpacePart]:
        said = [axis for axis in AXES if axis.field in self.axes]
        structural = [[(axis.field, value) for value in self.axes[axis.field]] for axis in said if axis.structural]
        numeric = dict.fromkeys(alternatives(axis.field) for axis in said if not axis.structural)
        made = (_made(dict(fields)) for fields in itertools.product(*structural))
        for fixed in dict.fromkeys(variant for variant in made if variant is not None):
            kinds = [[kind for name in group for kind in self._kinds(BY_FIELD[name], fixed)] for group in numeric]
            for axes in itertools.product(*kinds):
                yield SpacePart(fixed, axes)

    def _kinds(self, axis: Axis, fixed: Variant) -> list[tuple[str, tuple[Any, ...]]]:
        """The axis's values that can be of this structure, each once, in groups that can share one array."""
        kinds: dict[Hashable, dict[Any, None]] = defaultdict(dict)
        for value in _possible(axis, self.axes.get(axis.field, ()), fixed):
            kinds[axis.structure(value)][value] = None
        return [(axis.field, tuple(kind)) for kind in kinds.values()]


def _structure(fixed: Variant) -> dict[str, Any]:
    return {name: getattr(fixed, name) for name in STRUCTURAL}


def _made(fields: Mapping[str, Any]) -> Variant | None:
    try:
        return Variant(**fields)
    except VariantError:
        return None


def _possible(axis: Axis, values: Sequence[Any], fixed: Variant) -> Iterator[Any]:
    """The values, in their one form, that variants of a structure can have."""

    def held(value: Any) -> Any:
        variant = _made({**_structure(fixed), axis.field: value})
        return None if variant is None else getattr(variant, axis.field)

    whole = [value for value in values if type(value) is int]
    ends = (min(whole), max(whole)) if whole else ()
    between = all(held(end) is not None for end in ends)  # whole numbers can be, between two that can
    for value in values:
        one = value if between and type(value) is int else held(value)
        if one is not None:
            yield one


def _once(axis: Axis, value: Any) -> Any:
    """The value in its one form, whatever the number of stages."""
    return axis.values.held(axis.field, value, None)


def _require_possible(axis: Axis, values: tuple[Any, ...]) -> None:
    """UsageError where a value can't be that of any variant."""
    for value in values:
        try:
            _once(axis, value)
        except VariantError as error:
            raise UsageError(error.what, where=f"--{axis.option}", fix=error.fix) from None
