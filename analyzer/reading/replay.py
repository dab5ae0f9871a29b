"""Net -> its forward and backward pass, replayed on a heap as torch's autograd would run them.

The modules' own schedule (architecture/schedule.py) is followed with Python's own references: a module call keeps its
arguments until it returns, a value goes after its last use. The backward pass runs in exact reverse order; a node
allocates all its gradients, then its incoming gradient goes, then what it saved, then its gradients are handed on.
Under autocast convolutions and linear layers compute with copies of their parameters (and of the image) in low
precision: a copy stays in autocast's cache until its context ends, its gradient becomes one of fp32 after its node.
Source: torch/csrc/autograd/{engine,input_buffer}.cpp, derivatives.yaml, aten/src/ATen/autocast_mode.cpp of torch 2.13.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from analyzer.architecture.dims import is_array
from analyzer.architecture.facts import Scope
from analyzer.architecture.schedule import plan
from analyzer.errors import UsageError
from analyzer.reading.heap import Many
from analyzer.reading.tape import CheckpointRegion, HeapValue, KeptAllError, TapeEntry, alone, keeps

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim
    from analyzer.architecture.facts import Op, Value
    from analyzer.architecture.net import Net
    from analyzer.architecture.schedule import Call, ModulePlan
    from analyzer.reading.heap import Heap, HeapStorage

_PLANS: WeakKeyDictionary[Net, ModulePlan] = WeakKeyDictionary()
"""Those of networks that are replayed again and again, at one batch after the other."""


class Replay:
    """One network's passes at a batch, with elements of `itemsize` bytes, on `heap`.

    `low` is the itemsize of what convolutions and linear layers compute with under autocast (None: no autocast).
    Modules of class `checkpoint` are run under torch.utils.checkpoint. `accumulates_in_place` is torch's own way; under
    any dispatch mode (which a tracker of storages is) it adds out of place.
    """

    def __init__(
        self,
        net: Net,
        heap: Heap,
        batch: int,
        itemsize: int,
        *,
        training: bool,
        low: int | None = None,
        checkpoint: str | None = None,
        accumulates_in_place: bool = True,
    ) -> None:
        self.net, self.heap, self.batch, self.itemsize = net, heap, batch, itemsize
        self.training, self.checkpoint, self.accumulates_in_place = training, checkpoint, accumulates_in_place
        self.low, self.activation = low, low or itemsize
        self.plan = _PLANS.get(net) or _PLANS.setdefault(net, plan(net))
        self.tape: list[TapeEntry] = []
        self.gradients: dict[tuple[int, int], HeapStorage] = {}
        self.recomputed: list[Op] = []
        self._needs_grad: set[int] = set()
        self._region: CheckpointRegion | None = None
        self._casts: dict[tuple[int, int], HeapStorage] = {}  # autocast's cache
        self._elements: dict[tuple[int, int], Dim] = {}
        if low is not None:
            require_autocast(net)

    def size(self, tensor: Value, itemsize: int | None = None) -> Any:
        """A value's bytes; the image's are its own, at the network's `itemsize`."""
        each = self.batch * (itemsize or self.activation)
        if not self.net.vector:
            return each * tensor.elements
        if not is_array(tensor.area):
            return Many(tensor.channels, each * tensor.area)
        key = id(tensor.channels), id(tensor.area)
        if key not in self._elements:
            self._elements[key] = tensor.elements
        return Many(self._elements[key], each)

    def _parameter_sizes(self, op: Op, itemsize: int) -> list[Any]:
        """The bytes of an op's parameters."""
        counts = self.net.parameters_of(op)
        return [Many(count, itemsize) for count in counts] if self.net.vector else [itemsize * each for each in counts]

    def _new(self, size: Dim) -> HeapValue:
        return HeapValue(self.heap.allocate(size), size)

    def image(self) -> HeapValue:
        """The input: alive for as long as its caller holds it."""
        image = self._new(self.size(self.net.input_tensor, self.itemsize))
        self.heap.turn([image.storage], "saved" if self.training else "transient")
        return image

    # -- forward -------------------------------------------------------------------------------------------------

    def forward(self, image: HeapValue) -> HeapValue:
        """Runs the network on an image; in training the tape is left for `backward`."""
        self.heap.begin("forward")
        return self._module(self.plan, image)[0]

    def _module(self, plan: ModulePlan, *inputs: HeapValue) -> list[HeapValue]:
        values = dict(zip(plan.takes, inputs, strict=True))
        for call in plan.calls:
            arguments = [values[value] for value in call.reads]
            for value in call.ends:
                del values[value]
            results = self._call(plan, call, arguments)
            del arguments
            values.update(zip(call.writes, results, strict=True))
            del results
        return [values[value] for value in plan.gives]

    def _call(self, plan: ModulePlan, call: Call, arguments: list[HeapValue]) -> list[HeapValue]:
        if call.plan is not None:
            if self.training and self._region is None and call.plan.scope.kind == self.checkpoint:
                return self._checkpointed(call.plan, arguments)
            return self._module(call.plan, *arguments)
        assert not isinstance(call.step, Scope)
        layer = plan.scope.path_of(call.step)
        result = self._op(call.step, layer, arguments)
        self.heap.mark(layer)
        return [result]

    def _checkpointed(self, plan: ModulePlan, arguments: list[HeapValue]) -> list[HeapValue]:
        self._region = CheckpointRegion(plan, list(arguments))
        self.heap.turn((value.storage for value in arguments), "saved")
        try:
            return self._module(plan, *arguments)
        finally:
            self._region = None

    def _op(self, op: Op, layer: str, inputs: list[HeapValue]) -> HeapValue:
        again = self._region is not None and self._region.again
        stop = again and self._region is not None and op is self._region.last.op
        beside = []
        if self._autocasts(op):
            inputs, weight = self._cast(op, inputs)
            beside.append(weight)
        if stop and op.autograd.keeps_first:
            self._make_beside(op, beside)
            self._keep(op, layer, beside, inputs, None)
            raise KeptAllError
        size = self.size(op.output)
        output = HeapValue(inputs[0].storage, size) if self._is_view(op) else self._new(size)
        self._make_beside(op, beside)
        if self.training and (not op.weightless or any(x.id in self._needs_grad for x in op.inputs)):
            self._needs_grad.add(op.output.id)
            self._keep(op, layer, beside, inputs, output)
        if again:
            self.recomputed.append(op)
        if stop:
            raise KeptAllError
        return output

    def _autocasts(self, op: Op) -> bool:
        return self.low is not None and op.autograd.lowered

    def _cast(self, op: Op, inputs: list[HeapValue]) -> tuple[list[HeapValue], HeapStorage]:
        """An op's inputs and its weight in low precision, made in torch's order: bias, weight, then the image."""
        counts = op.parameters
        for i in reversed(range(len(counts))):
            self._casts[op.output.id, i] = self.heap.allocate(self.activation * counts[i])
        if op.x.id == self.net.input_tensor.id:
            inputs = [self._new(self.size(op.x))]
        return inputs, self._casts[op.output.id, 0]

    def _keep(
        self, op: Op, layer: str, beside: list[HeapStorage], inputs: list[HeapValue], output: HeapValue | None
    ) -> None:
        """Records the op's node with what it keeps; in a region the node keeps it in the second run only."""
        values = dict(zip((x.id for x in op.inputs), inputs, strict=True))
        if output is not None:
            values[op.output.id] = output
        saved = [*beside, *(values[x.id].storage for x in op.kept)]
        self.heap.turn(() if self._region and not self._region.again else saved, "saved")
        if self._region is None:
            self.tape.append(TapeEntry(op, layer, saved))
        elif self._region.again:
            self._region.nodes[op.output.id].saved = saved
        else:
            self._region.nodes[op.output.id] = node = TapeEntry(op, layer, [], self._region if keeps(op) else None)
            self.tape.append(node)

    def _is_view(self, op: Op) -> bool:
        return op.is_view or op.overwrites or (op.trains_only and not self.training)

    def _make_beside(self, op: Op, beside: list[HeapStorage]) -> None:
        """Makes what the op makes beside its result: some ops do in inference too."""
        if op.beside is not None and (self.training or op.autograd.infers_beside):
            beside.append(self.heap.allocate(op.beside.bytes(self.batch, self.activation)))

    @property
    def saved_bytes(self) -> Dim:
        """Bytes of the storages that the tape keeps, each once: after a forward, what autograd keeps of it."""
        kept = [storage for node in self.tape for storage in node.saved]
        kept += [value.storage for node in self.tape if node.region for value in node.region.inputs]
        return sum({id(storage): storage.size for storage in kept}.values())

    # -- loss and backward ---------------------------------------------------------------------------------------

    def loss(self, logits: HeapValue) -> HeapValue:
        """Cross-entropy of the logits. Kept for its backward: the log-probabilities, once, and the total weight.

        Under autocast it is that of an fp32 copy of the logits, and the context ends after it.
        """
        self.heap.begin("loss")
        size = self.size(self.net.output_tensor, self.itemsize)
        widened = None if self.low is None else self._new(size)
        self._of_loss = [self._new(size), self._new(self.itemsize)]
        self.heap.turn((value.storage for value in self._of_loss), "saved")
        loss = self._new(self.itemsize)
        del widened
        self._casts.clear()
        self.heap.mark("cross_entropy")
        return loss

    def backward(self) -> None:
        """The backward pass from the loss; each parameter's gradient is left in `gradients`.

        The root gradient, a scalar, lives through it.
        """
        self.heap.begin("backward")
        root = self._new(self.itemsize)
        size = self._of_loss[0].size
        of_probabilities = self._new(size)
        self._of_loss.pop()  # the total weight
        of_logits = self._new(size)
        del of_probabilities
        self._of_loss.pop()
        if self.low is not None:
            of_logits = self._new(self.size(self.net.output_tensor))
        self._pending = {self.net.output_tensor.id: of_logits}
        del of_logits
        self.heap.mark("cross_entropy")
        while self.tape:
            node = self.tape.pop()
            self._undo(node)
            self.heap.mark(node.layer)
        del root

    def _undo(self, node: TapeEntry) -> None:
        """One node: all its gradients, then the incoming one goes, then what was saved, then they are handed on."""
        grad = self._pending.pop(node.op.output.id)
        if node.region is not None and not node.region.again and keeps(node.op):
            self._run_again(node.region)
        made = list(self._input_gradients(node.op, grad))
        cast = self._autocasts(node.op)
        sizes = self._parameter_sizes(node.op, self.activation if cast else self.itemsize)
        own = [self.heap.allocate(size) for size in sizes]
        del grad
        if node.region is not None:
            node.saved.clear()  # what is run again goes as it is read, what was kept once its node is through
        if node.op.autograd.gradient == "product":
            self._sum_factors(node.op, made)
        node.saved.clear()
        node.region = None
        made.reverse()
        while made:
            self._hand_on(*made.pop())
        own.reverse()
        for i, size in enumerate(self._parameter_sizes(node.op, self.itemsize)):
            storage = own.pop()
            if cast:
                storage = self.heap.allocate(size)
            # The first gradient is taken over, a later one is added into it and goes.
            self.heap.turn([self.gradients.setdefault((node.op.output.id, i), storage)], "gradients")

    def _run_again(self, region: CheckpointRegion) -> None:
        region.again = True
        self._region = region
        self.heap.begin("recompute")
        with contextlib.suppress(KeptAllError):
            self._module(region.plan, *region.inputs)
        self._region = None
        self._casts.clear()
        self.heap.mark(region.last.layer)
        self.heap.begin("backward")

    def _input_gradients(self, op: Op, grad: HeapValue) -> Iterator[tuple[int, HeapValue]]:
        gradient = op.autograd.gradient
        for x in op.inputs:
            if x.id not in self._needs_grad:
                continue
            if gradient == "own":
                yield x.id, self._new(self.size(x))
            elif gradient == "product":  # both products are as large as the image
                yield x.id, self._new(self.size(op.output))
            else:
                # A part is a view that keeps the whole gradient alive: torch adds to none of them in place, of one
                # sample neither.
                yield x.id, HeapValue(grad.storage, self.size(x), dense=gradient == "passed")

    def _sum_factors(self, op: Op, made: list[tuple[int, HeapValue]]) -> None:
        """Sums the factors' gradient over the image; by then the incoming one has gone."""
        for i, (value, _) in enumerate(made):
            if value != op.x.id:
                made[i] = value, self._new(self.size(op.inputs[1]))

    def _hand_on(self, value: int, grad: HeapValue) -> None:
        """Adds to what has come for a value: in place where that is dense and nothing else refers to its storage."""
        old = self._pending.pop(value, None)
        if old is None:
            self._pending[value] = grad
        elif self.accumulates_in_place and old.dense and alone(old):
            self._pending[value] = old
        else:
            self._pending[value] = self._new(old.size)


def require_autocast(net: Net) -> None:
    """UsageError where anything but a convolution reads the image: what autocast makes of that is not verified."""
    image = net.input_tensor.id
    for scope, op in net.ops():
        if any(x.id == image for x in op.inputs) and op.kind != "convolution":
            raise UsageError(
                "reads the image before any convolution, and no prediction of autocast is verified for that",
                where=scope.path_of(op),
                fix="leave autocast out, or begin with a convolution",
            )
