"""Calls of torch's functions that the tracer takes over before torch takes them apart."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from analyzer.tracing.recurrent import RECURRENT, STEPS, run_shortened, steps_of
from analyzer.tracing.replacing import replaced
from analyzer.tracing.work import attention_seen

if TYPE_CHECKING:
    from analyzer.tracing.tracer import Tracer

_CELLS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
_CONVOLUTIONS = {
    torch.conv1d, torch.conv2d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
    torch.convolution,
}  # fmt: skip


class ComplexCalls(TorchFunctionMode):
    """Runs complex convolutions as one. It costs as much as a third of a count: for complex tensors alone."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function."""
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS and any(
            isinstance(t, torch.Tensor) and t.is_complex() for t in (*args[:2], *kwargs.values())
        ):
            with self.tracer.as_one_convolution():
                return func(*args, **kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def taken_over(tracer: Tracer) -> Iterator[None]:
    """Recurrent layers run without all of their steps, and the state that they and cells start from is data. Attention
    is one operator to who asks for the work.
    """

    def taking_over(name: str, original: Any) -> Any:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            steps = steps_of(args) if name in RECURRENT else 0
            position = 1 if steps or name in _CELLS else 2
            states = args[position] if len(args) > position else kwargs.get("hx", ())
            for state in states if isinstance(states, (list, tuple)) else (states,):
                tracer.origins.take_as_data(state)
            if steps > STEPS + 1 and tracer.home is not None:
                return run_shortened(tracer, original, args)
            return original(*args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        stack.enter_context(attention_seen(tracer.work))
        for name in (*RECURRENT, *_CELLS):
            changed = taking_over(name, getattr(torch, name))
            for place in (torch, torch._VF):
                stack.enter_context(replaced(place, name, changed))
        yield
