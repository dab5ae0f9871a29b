"""Recurrent layers without all of their steps: what a step adds is told from runs of two and of three.

From the second step on each costs, keeps and deepens the same, so the rest follows exactly.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from analyzer.tracing.tracer import Tracer

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
STEPS = 3
"""Steps that are run."""


def steps_of(args: Any) -> int:
    """How many steps a call's input has; 0 where that isn't told (a packed sequence)."""
    return int(args[0].shape[1 if args[-1] else 0]) if len(args) == 9 and isinstance(args[3], bool) else 0


def run_shortened(tracer: Tracer, func: Callable[..., Any], args: Any) -> Any:
    """The results of a recurrent call by its first steps; the tracer's counts are those of all."""
    steps, dim = steps_of(args), 1 if args[-1] else 0
    results = func(args[0].narrow(dim, 0, STEPS), *args[1:])
    counted = Counts(tracer)
    few, shallow = _apart(tracer, func, args, STEPS - 1, dim)
    more, deep = _apart(tracer, func, args, STEPS, dim)
    counted.put(tracer, more, few, times=steps - STEPS)
    output = _Stretched.apply(results[0], steps, dim)  # type: ignore[no-untyped-call]
    for result, low, high in zip((output, *results[1:]), shallow, deep, strict=True):
        tracer.origins.deepen(result, high + (steps - STEPS) * (high - low))
    return (output, *results[1:])


class _Stretched(torch.autograd.Function):
    """The output of all steps, for that of the first."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, steps: int, dim: int) -> Tensor:
        """Laid out as torch does: time first in memory."""
        ctx.dim, ctx.few = dim, output.shape[dim]
        shape = list(output.shape)
        shape[dim] = steps
        if dim == 0:
            return output.new_empty(shape)
        return output.new_empty([shape[1], shape[0], *shape[2:]]).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Of the first steps."""
        return gradient.narrow(ctx.dim, 0, ctx.few), None, None


class Counts:
    """A tracer's counts at a moment."""

    def __init__(self, tracer: Tracer) -> None:
        self.row = dataclasses.replace(tracer.modules.row)
        self.by_operator, self.uncounted = Counter(tracer.by_operator), Counter(tracer.uncounted)
        self.work_done = Counter(tracer.work_done)
        self.backward_macs = tracer.backward_macs

    def put(self, tracer: Tracer, more: Counts, few: Counts, times: int) -> None:
        """Sets the tracer's counts to these, and so many times what `more` has above `few`."""
        row = tracer.modules.row
        for name in ("macs", "conv_activations", "saved_bytes"):
            step = getattr(more.row, name) - getattr(few.row, name)
            setattr(row, name, getattr(self.row, name) + times * step)
        for name in ("by_operator", "uncounted", "work_done"):
            own, above, below = getattr(self, name), getattr(more, name), getattr(few, name)
            counter = getattr(tracer, name)
            counter.clear()
            counter.update({key: own[key] + times * (above[key] - below[key]) for key in {**own, **above}})
        tracer.backward_macs = self.backward_macs + times * (more.backward_macs - few.backward_macs)


def _apart(tracer: Tracer, func: Callable[..., Any], args: Any, steps: int, dim: int) -> tuple[Counts, list[int]]:
    """What so many steps count above what is counted already, and the depth of each result. Nothing of it is kept."""

    def own(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [own(part) for part in value]
        return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value

    before, apart = Counts(tracer), own(args)
    results = func(apart[0].narrow(dim, 0, steps), *apart[1:])
    depths = [tracer.origins.depth([result]) for result in results]
    outputs = [result for result in results if result.requires_grad]
    if outputs and tracer.goes_back:
        tracer.backward = True
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
        tracer.backward = False
    found = Counts(tracer)
    before.put(tracer, before, before, times=0)
    return found, depths
