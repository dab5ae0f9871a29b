"""A stage as a repetition: in array form its first layer is recorded, and one that stands for all the others.

The others' widths are a series (dims.py). That they go on evenly is proven by the recording: a layer that gets any
member of the series gives the next one, with nothing asked of a width that is not known of all members. Variants of
which that can't be said are marked (`Run.regular`), and where nothing can be said an IrregularError ends the recording:
those are recorded layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analyzer.architecture.dims import IrregularError, LayerNumber, Run, Series, Truth, anywhere, is_array
from analyzer.architecture.facts import Repetition, Value
from analyzer.architecture.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.architecture.dims import Dim


LayerFunction = Callable[[Value, Any], Value]

WORTH = 4
"""Layers from which on two that are recorded are fewer passes than all."""


class Repeater(Recorder):
    """A recorder of repetitions. `short` says that most of a repetition's layers may be recorded as one."""

    @property
    def regular(self) -> Truth:
        """The variants whose repetitions go on evenly; of the others a short recording says nothing."""
        truth: Truth = True
        for run in self._runs:
            truth = truth & run.regular
        return truth

    def repeat(self, x: Value, depth: Dim, layer: LayerFunction) -> Value:
        """`depth` layers, each on what the one before it gives: `layer(x, i)` records the i-th and returns its result.

        It must follow from `x` and `i` alone, as it is not called for every layer where one can stand for others.
        """
        most = self.bounds(depth)[1]
        if self.short and (is_array(depth) or depth >= WORTH):
            first = layer(x, 0)
            return first if most == 1 else self._others(x, first, Run(depth - 1, most - 1), layer)
        if is_array(depth):
            raise IrregularError
        for i in range(most):
            x = layer(x, i)
        return x

    def _others(self, x: Value, first: Value, run: Run, layer: LayerFunction) -> Value:
        """The layers after the first: they add what the first one did, or nothing."""
        _, before, more = self._increments.get(id(first.channels), (None, None, 0))
        for step in [more, 0] if before is x.channels else [0]:
            try:
                with self._attempt(run):
                    return self._recorded_once(first, step, run, layer)
            except IrregularError:
                run.regular = True
        raise IrregularError

    @contextmanager
    def _attempt(self, run: Run) -> Iterator[None]:
        """Takes back what was recorded where it ends in an IrregularError."""
        steps, names, unread = self._stack[-1].steps, self._names[-1], dict(self._unread)
        before = (len(steps), set(names), self.invalid, self.high_macs, self.high_elements)
        self._run = run
        try:
            yield
        except IrregularError:
            count, named, self.invalid, self.high_macs, self.high_elements = before
            del steps[count:]
            names &= named
            self._unread = unread
            raise
        finally:
            self._run = None
        self._runs.append(run)

    def _recorded_once(self, first: Value, step: Dim, run: Run, layer: LayerFunction) -> Value:
        grows = is_array(step) or step != 0
        channels: Any = Series(run, first.channels, step) if grows else first.channels
        high = first.high + run.most * max(self.bounds(step)[1], 0)
        x = self._stands_for(first, channels, high)
        parent = self._stack[-1]
        scope = Repetition("", parent.kind, parent.path, run=run, enters=first, x=x, gives=x, leaves=x)
        self._stack.append(scope)
        try:
            gives = scope.gives = layer(x, LayerNumber(1))
        finally:
            self._stack.pop()
        self._require_next(x, gives, run, channels)
        own = {x.id, *(op.output.id for _, op in scope.ops())}
        if any(value.id not in own for _, op in scope.ops() for value in op.inputs):
            raise IrregularError  # what all layers read is kept once, not once a layer
        parent.steps.append(scope)
        self._unread.pop(gives.id, None)
        self._run = None
        scope.leaves = self._stands_for(gives, first.channels + run.count * step if grows else first.channels, high)
        self._repetitions.update(dict.fromkeys(own, scope))
        return scope.leaves

    def _require_next(self, x: Value, gives: Value, run: Run, channels: Any) -> None:
        """What a layer gives must be what the next one gets: wider by the step, of one image size."""
        if gives.size is not x.size:
            run.require(self.size(gives) == self.size(x))
        if isinstance(channels, Series):
            if not isinstance(gives.channels, Series) or gives.channels.shifted is None:
                raise IrregularError
            before, more = gives.channels.shifted
            if before is not channels:
                raise IrregularError
            if more is not channels.step:
                run.require(more == channels.step)
        elif isinstance(gives.channels, Series):
            raise IrregularError
        elif gives.channels is not channels:
            run.require(gives.channels == channels)
        if not anywhere(run.regular):
            raise IrregularError

    def _stands_for(self, value: Value, channels: Any, high: int) -> Value:
        """A value with what the recorder knows of another: who has read it, and whether its producer keeps it."""
        self._unread.pop(value.id, None)
        new = self._tensor(channels, value.size, high=high)
        for known in (self._consumed, self._kept):
            if value.id in known:
                known.add(new.id)
        return replace(new, area=value.area)
