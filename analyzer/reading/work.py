"""Net -> the work that a device's time follows: MACs, bytes moved, operators. Ints, or arrays, an entry a variant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from analyzer.architecture.dims import Dim, Truth
from analyzer.architecture.facts import CONVOLUTIONS, Op
from analyzer.architecture.net import Net


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


def operators(net: Net, batch: int, itemsize: int = 4) -> Iterator[tuple[Op, Work]]:
    """Every operator that does something in an inference, with its work: it reads inputs and parameters, writes a
    result.
    """
    image = net.input_tensor.id
    for _, op in net.ops():
        if op.is_view or op.trains_only:
            continue
        written = batch * itemsize * op.output.elements
        moved: Any = written
        for x in op.inputs:
            moved = moved + batch * itemsize * x.elements
        parameters = op.parameters
        for size in parameters:
            moved = moved + itemsize * size
        macs = batch * op.macs(parameters)
        yield (
            op,
            Work(
                macs=macs,
                uneven=macs * _uneven(op, image) if op.kind in CONVOLUTIONS else 0,
                moved=moved,
                made=0 if op.overwrites else written,
                compared=batch * op.compared,
                calls=1,
            ),
        )


def _uneven(op: Op, image: int) -> Truth:
    """Whether a convolution's widths are no multiples of 8: a bool, or one a variant."""
    inputs: Truth = False if op.x.id == image else op.x.channels % 8 != 0
    return inputs | (op.output.channels % 8 != 0)


def work(net: Net, batch: int, itemsize: int = 4) -> Work:
    """The sums over all operators."""
    sums: list[Any] = [0] * len(Work._fields)
    for _, each in operators(net, batch, itemsize):
        sums = [total + part for total, part in zip(sums, each, strict=True)]
    return Work(*sums)
