"""Net -> the work that a device's time follows: MACs, bytes moved, operators. Ints, or arrays, an entry a variant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from analyzer.architecture import ops
from analyzer.architecture.net import Net, is_array
from analyzer.architecture.ops import Dim, Op
from analyzer.reading.exact import cost, parameters

FREE = (ops.Flatten, ops.Slice, ops.Dropout)
"""Ops that do nothing in an inference."""


class Work(NamedTuple):
    """Of one forward at a batch, or of one operator.

    `macs`, and of these the `uneven` ones: in convolutions whose widths (the image's aside) are no multiples of 8,
    for which a device's fast kernels are not made; `moved` bytes, read and written; `made` bytes, written to memory of
    their own (not in place), which on a CPU cost most; `compared` elements, which max pooling looks at; `calls`, the
    number of operators.
    """

    macs: Dim
    uneven: Dim
    moved: Dim
    made: Dim
    compared: Dim
    calls: Dim


def kind(op: Op) -> str:
    """What an op's time is tabled under."""
    if isinstance(op, ops.Conv):
        if is_array(op.groups) or op.groups != 1:
            return "grouped convolution"
        return "1x1 convolution" if not is_array(op.kernel) and op.kernel == 1 else "larger convolution"
    if isinstance(op, (ops.MaxPool, ops.AvgPool, ops.GlobalPool)):
        return "pool"
    return {ops.Norm: "norm", ops.ReLU: "relu", ops.Concat: "concat", ops.Linear: "linear"}.get(type(op), "elementwise")


def operators(net: Net, batch: int, itemsize: int = 4) -> Iterator[tuple[Op, Work]]:
    """Every operator with its work: it reads its inputs and parameters and writes its result."""
    image = net.input_tensor.id
    for _, op in net.ops():
        if isinstance(op, FREE):
            continue
        written = batch * itemsize * op.output.elements
        moved: Any = written
        for x in op.inputs:
            moved = moved + batch * itemsize * x.elements
        for size in parameters(op):
            moved = moved + itemsize * size
        macs = batch * cost(op).macs
        yield (
            op,
            Work(
                macs=macs,
                uneven=macs * _uneven(op, image) if isinstance(op, ops.Conv) else 0,
                moved=moved,
                made=0 if getattr(op, "inplace", False) else written,
                compared=batch * op.kernel**2 * op.output.elements if isinstance(op, ops.MaxPool) else 0,
                calls=1,
            ),
        )


def _uneven(op: ops.Conv, image: int) -> Any:
    """Whether a convolution's widths are no multiples of 8: a bool, or one a variant."""
    inputs = False if op.x.id == image else op.x.channels % 8 != 0
    return inputs | (op.output.channels % 8 != 0)


def work(net: Net, batch: int, itemsize: int = 4) -> Work:
    """The sums over all operators."""
    sums: list[Any] = [0] * len(Work._fields)
    for _, each in operators(net, batch, itemsize):
        sums = [total + part for total, part in zip(sums, each, strict=True)]
    return Work(*sums)
