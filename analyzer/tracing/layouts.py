"""How torch lays out the result of an elementwise operator: in the order of its operands' strides."""

from __future__ import annotations

import functools
from collections.abc import Sequence

Sizes = Sequence[int]


@functools.lru_cache(4096)
def in_order(shape: Sizes) -> tuple[int, ...]:
    """The strides of a tensor that is laid out in the order of its dimensions."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def broadcast(a: Sizes, b: Sizes) -> tuple[int, ...] | None:
    """The shape of two tensors together; None where they don't fit."""
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    shape = list(longer)
    for position in range(1, len(shorter) + 1):
        one, other = longer[-position], shorter[-position]
        if one != other:
            if 1 not in (one, other):
                return None
            shape[-position] = other if one == 1 else one
    return tuple(shape)


def expanded(shape: Sizes, own: Sizes, strides: Sizes) -> tuple[int, ...]:
    """The strides of a tensor that is broadcast to a shape."""
    added = len(shape) - len(own)
    kept = [0 if size == 1 != wide else step for size, step, wide in zip(own, strides, shape[added:], strict=True)]
    return (0,) * added + tuple(kept)


def elementwise(shape: Sizes, operands: Sequence[Sizes]) -> tuple[int, ...]:
    """The strides of the result, from the strides of operands of one shape.

    As TensorIterator sorts dimensions, back to front (aten/src/ATen/TensorIterator.cpp, reorder_dimensions).
    """
    order = list(reversed(range(len(shape))))
    for start in range(1, len(order)):
        moved = start
        for place in reversed(range(start)):
            comparison = _compare(shape, operands, order[place], order[moved])
            if comparison > 0:
                order[place], order[moved] = order[moved], order[place]
                moved = place
            elif comparison < 0:
                break
    strides, step = [0] * len(shape), 1
    for axis in order:
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def _compare(shape: Sizes, operands: Sequence[Sizes], a: int, b: int) -> int:
    """Whether dimension `a` lies outside of `b` (1), inside (-1), or no operand says (0)."""
    for strides in operands:
        if not strides[a] or not strides[b]:
            continue
        if strides[a] != strides[b]:
            return 1 if strides[a] > strides[b] else -1
        if shape[a] > shape[b]:
            return 1
    return 0
