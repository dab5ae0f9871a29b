"""Net -> activation memory: what autograd keeps for the backward pass.

The rules are those of torch's autograd formulas, fp32, in training mode. A value is kept once, however many ops
keep it: by the op that keeps it first. Parameters and buffers are not counted; the input is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analyzer.architecture.net import Net
from analyzer.architecture.ops import (
    AvgPool,
    Conv,
    Dim,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    ReLU,
    Scale,
    Scope,
    Sigmoid,
    Value,
)
from analyzer.errors import ArchitectureError

FLOAT, INDEX = 4, 8


def kept_tensors(op: Op) -> tuple[Value, ...]:
    """The values an op keeps: its input, its result (ReLU, sigmoid), or both factors of a product.

    Adaptive pooling to 1x1, concat, add, shuffles and views keep none.
    """
    if isinstance(op, (ReLU, Sigmoid)):
        return (op.output,)
    if isinstance(op, Scale):
        return op.inputs
    if isinstance(op, GlobalPool):
        return op.inputs if op.window else ()
    return op.inputs if isinstance(op, (Conv, Norm, Linear, MaxPool, AvgPool)) else ()


def kept_beside(op: Op, batch: int, itemsize: int = FLOAT) -> Dim:
    """Bytes an op keeps that are no activation: BN's mean and 1/std, max pooling's indices, dropout's noise.

    The mean and 1/std are fp32 whatever the activations are.
    """
    if isinstance(op, Norm):
        return 2 * FLOAT * op.x.channels
    if isinstance(op, MaxPool):
        return INDEX * batch * op.output.elements
    if isinstance(op, Dropout):
        return itemsize * batch * op.output.elements
    return 0


def saved(net: Net, batch: int) -> Iterator[tuple[Scope, Op, Dim]]:
    """Each op in execution order with the bytes that it is the first to keep."""
    kept: set[int] = set()
    owners: dict[int, Value] = {}
    for scope, op in net.ops():
        owners.update((t.id, t) for t in (*op.inputs, op.output) if t.id == t.storage)
        size = kept_beside(op, batch)
        for value in kept_tensors(op):
            if value.storage not in kept:
                kept.add(value.storage)
                size = size + FLOAT * batch * owners[value.storage].elements
        yield scope, op, size


def saved_bytes(net: Net, batch: int) -> Dim:
    """Bytes that autograd keeps for the backward pass of one forward at `batch` (no loss)."""
    total: Any = 0
    for _, _, size in saved(net, batch):
        if not isinstance(size, int) or size:
            total = total + size
    return total


def trainable(net: Net, batch: int) -> Any:
    """Whether batch normalisation can train: more than one value a channel everywhere (bool, or a mask)."""
    ok: Any = True
    for _, op in net.ops():
        if isinstance(op, Norm):
            values = batch * op.x.area
            ok = ok & (values > 1)
    return ok


def require_trainable(net: Net, batch: int) -> None:
    """ArchitectureError where training mode is impossible at this batch, as torch itself refuses it."""
    for scope, op in net.ops():
        if isinstance(op, Norm) and batch * op.x.area <= 1:
            raise ArchitectureError(
                "batch normalisation gets one value a channel and can't train",
                where=scope.path_of(op),
                fix="use batch 2 or more, or a larger image",
            )
