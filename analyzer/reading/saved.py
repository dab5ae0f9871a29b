"""Net -> activation memory: what autograd keeps for the backward pass.

The rules are those of torch's autograd formulas, fp32, in training mode, as each op states them (`keeps` and
`beside` in architecture/ops.py): its inputs (convolutions, norms, pools, products) or its result (ReLU, sigmoid),
and what it makes beside (BN's mean and 1/std, max pooling's indices, dropout's noise). A value is kept once, however
many ops keep it: by the op that keeps it first. Parameters and buffers are not counted; the input is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from analyzer.architecture.dims import IrregularError
from analyzer.architecture.facts import FLOAT
from analyzer.errors import ArchitectureError
from analyzer.reading.tally import Tally

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim, Truth
    from analyzer.architecture.facts import Op, Repetition, Scope, Value
    from analyzer.architecture.net import Net


def saved(net: Net, batch: int) -> Iterator[tuple[Scope, Op, Dim]]:
    """Each op in execution order with the bytes that it is the first to keep."""
    for scope, op, owners in _kept(net):
        beside = op.beside
        size = 0 if beside is None else beside.bytes(batch, FLOAT)
        for owner in owners:
            size = size + FLOAT * batch * owner.elements
        yield scope, op, size


def _kept(net: Net) -> Iterator[tuple[Scope, Op, list[Value]]]:
    """Each op with the values whose storages it is the first to keep; each is all of its storage."""
    keeping = _Keeping()
    for scope, op in net.ops():
        repetition = net.repetition_of(op)
        if repetition is not None:
            keeping.enter(repetition)
        yield scope, op, list(keeping.newly_kept(op))
        if repetition is not None and op.output is repetition.gives:
            keeping.leave(repetition)


class _Keeping:
    """The storages that are kept so far, and the values that fill them."""

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.owners: dict[int, Value] = {}
        self.came: dict[int, bool] = {}  # by what a repetition's layers get: whether it is kept when they get it

    def newly_kept(self, op: Op) -> Iterator[Value]:
        """The owners of the storages that this op is the first to keep."""
        self.owners.update((t.id, t) for t in (*op.inputs, op.output) if t.id == t.storage)
        for value in op.kept:
            if value.storage not in self.kept:
                self.kept.add(value.storage)
                yield self.owners[value.storage]

    def enter(self, repetition: Repetition) -> None:
        """What every layer gets is kept already where what the first gets is."""
        if repetition.x.id not in self.came:
            self.came[repetition.x.id] = repetition.enters.storage in self.kept
            if self.came[repetition.x.id]:
                self.kept.add(repetition.x.storage)

    def leave(self, repetition: Repetition) -> None:
        """What a layer gives must be as what it got: kept already or not, and all of a storage of its own."""
        gives, enters, came = repetition.gives, repetition.enters, self.came[repetition.x.id]
        whole = all(self.owners[value.storage].channels is value.channels for value in (gives, enters))
        if (gives.storage in self.kept) is not came or not whole or gives.storage == repetition.x.storage:
            raise IrregularError
        if came:
            self.kept.add(repetition.leaves.storage)


def saved_bytes(net: Net, batch: int) -> Dim:
    """Bytes that autograd keeps for the backward pass of one forward at `batch` (no loss)."""
    elements, bytes_ = Tally(), Tally()
    for _, op, owners in _kept(net):
        for owner in owners:
            elements.add(owner.channels, run=net.run_of(op), area=owner.area)
        if op.beside is not None:
            bytes_.add(op.beside.bytes(batch, FLOAT), run=net.run_of(op))
    total: Dim = FLOAT * batch * elements.total + bytes_.total
    return total


def trainable(net: Net, batch: int) -> Truth:
    """Whether batch normalisation can train: more than one value a channel everywhere (bool, or a mask)."""
    ok: Truth = True
    for _, op in net.ops():
        if op.normalised is not None:
            values: Any = batch * op.x.area
            run = net.run_of(op)
            absent = run is not None and run.count < 1
            ok = ok & ((values > 1) | absent)
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
