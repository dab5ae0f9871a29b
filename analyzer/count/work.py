"""Net -> the work that a device's time follows: MACs, bytes moved, operators. Ints, or arrays with one entry a variant."""

from __future__ import annotations

from typing import Any, NamedTuple

from analyzer.architecture import ops
from analyzer.architecture.net import Net
from analyzer.architecture.ops import Dim
from analyzer.count.exact import parameters, total


class Work(NamedTuple):
    """Of one forward at a batch: multiply-accumulates, bytes read and written by all operators, their number."""

    macs: Dim
    bytes: Dim
    operators: Dim


def work(net: Net, batch: int, itemsize: int = 4) -> Work:
    """Every operator reads its inputs and parameters and writes its result; views do nothing."""
    moved: Any = 0
    count = 0
    for _, op in net.ops():
        if isinstance(op, (ops.Flatten, ops.Slice, ops.Dropout)):
            continue
        count += 1
        moved = moved + batch * itemsize * op.output.elements
        for x in op.inputs:
            moved = moved + batch * itemsize * x.elements
        for size in parameters(op):
            moved = moved + itemsize * size
    return Work(batch * total(net).macs, moved, count)
