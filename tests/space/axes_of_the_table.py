"""Values of any axis of the table, chosen by what its row says, no axis by its name."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from analyzer.architecture.axes import AXES, Axis, alternatives
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.values import Depths, Each, Real, Whole, Word
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError
from analyzer.reading.family import record

WHOLE = (1, 2, 3, 4, 5, 8, 16, 32, 64, 96, 128, 224)
REAL = (0.125, 0.25, 0.5, 0.75, 1.0)


def candidates(axis: Axis) -> list[Any]:
    """Values that the axis can have."""
    values = axis.values
    if isinstance(values, Word):
        return sorted(values.known)
    if isinstance(values, Depths):
        return [(1, 1), (2, 1), (1, 2, 1)]
    if isinstance(values, Each):
        numbers = _numbers(values.number)
        return [*values.words, *numbers, *((a, b) for a in numbers for b in numbers[:3]), tuple(numbers[:1])]
    return _numbers(values)


def _numbers(number: Any) -> list[Any]:
    if isinstance(number, Whole):
        return [n for n in WHOLE if number.least <= n <= number.most and (n % 2 or not number.odd)]
    assert isinstance(number, Real)
    zero = [0.0] if number.zero else []
    return zero + [r for r in REAL if r < number.most or (r == number.most and not number.below)]


def small(axis: Axis) -> dict[str, Any]:
    """Fields of a small network of a block that has the axis."""
    block = next(name for name in ("dense", *BLOCKS) if axis.had_by is None or axis.had_by(BLOCKS[name]))
    return {"block": block, "block_config": (1, 1), "growth": 8, "image": 64}


def working(axis: Axis, most: int) -> list[Variant]:
    """Small variants that differ in the axis alone, at most so many, and make a network."""
    base = {name: value for name, value in small(axis).items() if name not in alternatives(axis.field)}
    found: list[Variant] = []
    for value in candidates(axis):
        try:
            variant = Variant(**{**base, axis.field: value})
            record(variant, layers=False)
        except AnalyzerError:
            continue
        if getattr(variant, axis.field) == value and variant not in found:
            found.append(variant)
    return found[-most:]


def several_axes(most: int = 5) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Some axes of the table, up to three values of each."""

    def values_of(axis: Axis) -> st.SearchStrategy[tuple[str, list[Any]]]:
        return st.tuples(st.just(axis.field), st.lists(st.sampled_from(candidates(axis)), min_size=1, max_size=3))

    some = st.lists(st.sampled_from(AXES), min_size=1, max_size=most, unique_by=lambda axis: axis.field)
    return some.flatmap(lambda axes: st.tuples(*map(values_of, axes))).map(dict)
