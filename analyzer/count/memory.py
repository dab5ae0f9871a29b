"""Net -> activation memory: what autograd keeps for the backward pass.

The rules are those of torch's autograd formulas, fp32, in training mode. A value is kept once, however many ops
keep it: by the op that keeps it first. Parameters and buffers are not counted; the input is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analyzer.architecture.net import (
    AvgPool,
    Conv,
    Dim,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Net,
    Norm,
    Op,
    ReLU,
    Scope,
    Tensor,
)
from analyzer.errors import ArchitectureError

FLOAT, INDEX = 4, 8


def kept_tensor(op: Op) -> Tensor | None:
    """The value an op keeps: its input, or a ReLU's result; adaptive pooling to 1x1, concat, add and views none."""
    if isinstance(op, ReLU):
        return op.output
    if isinstance(op, GlobalPool):
        return op.x if op.window else None
    return op.x if isinstance(op, (Conv, Norm, Linear, MaxPool, AvgPool)) else None


def kept_beside(op: Op, batch: int) -> Dim:
    """Bytes an op keeps that are no activation: BN's mean and 1/std, max pooling's indices, dropout's fp32 noise."""
    if isinstance(op, Norm):
        return 2 * FLOAT * op.x.channels
    if isinstance(op, MaxPool):
        return INDEX * batch * op.output.elements
    if isinstance(op, Dropout):
        return FLOAT * batch * op.output.elements
    return 0


def saved(net: Net, batch: int) -> Iterator[tuple[Scope, Op, Dim]]:
    """Each op in execution order with the bytes that it is the first to keep."""
    kept: set[int] = set()
    for scope, op in net.ops():
        size = kept_beside(op, batch)
        value = kept_tensor(op)
        if value is not None and value.storage not in kept:
            kept.add(value.storage)
            size = size + FLOAT * batch * value.elements
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
            ok = ok and values > 1 if isinstance(values, int) else ok & (values > 1)
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
