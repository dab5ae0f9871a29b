"""Net -> activation memory: what autograd keeps for the backward pass.

The rules are those of torch's autograd formulas, fp32, in training mode, as each op states them (`keeps` and
`beside` in architecture/ops.py): its inputs (convolutions, norms, pools, products) or its result (ReLU, sigmoid),
and what it makes beside (BN's mean and 1/std, max pooling's indices, dropout's noise). A value is kept once, however
many ops keep it: by the op that keeps it first. Parameters and buffers are not counted; the input is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from analyzer.architecture.dims import is_array
from analyzer.architecture.facts import FLOAT
from analyzer.errors import ArchitectureError

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim, Truth
    from analyzer.architecture.facts import Op, Scope, Value
    from analyzer.architecture.net import Net


def saved(net: Net, batch: int) -> Iterator[tuple[Scope, Op, Dim]]:
    """Each op in execution order with the bytes that it is the first to keep."""
    kept: set[int] = set()
    owners: dict[int, Value] = {}
    for scope, op in net.ops():
        owners.update((t.id, t) for t in (*op.inputs, op.output) if t.id == t.storage)
        beside = op.beside
        size = 0 if beside is None else beside.bytes(batch, FLOAT)
        for value in op.kept:
            if value.storage not in kept:
                kept.add(value.storage)
                size = size + FLOAT * batch * owners[value.storage].elements
        yield scope, op, size


def saved_bytes(net: Net, batch: int) -> Dim:
    """Bytes that autograd keeps for the backward pass of one forward at `batch` (no loss)."""
    total: Dim = 0
    for _, _, size in saved(net, batch):
        if is_array(size) or size:
            total = total + size
    return total


def trainable(net: Net, batch: int) -> Truth:
    """Whether batch normalisation can train: more than one value a channel everywhere (bool, or a mask)."""
    ok: Truth = True
    for _, op in net.ops():
        if op.normalised is not None:
            values: Any = batch * op.x.area
            ok = ok & (values > 1)
    return ok


def require_trainable(net: Net, batch: int) -> None:
    """ArchitectureError where training mode is impossible at this batch, as torch itself refuses it."""
    for scope, op in net.ops():
        if op.normalised is not None and batch * op.x.area <= 1:
            raise ArchitectureError(
                "batch normalisation gets one value a channel and can't train",
                where=scope.path_of(op),
                fix="use batch 2 or more, or a larger image",
            )
