"""Calls of torch's functions that the tracer takes over before torch takes them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from analyzer.tracing.recurrent import RECURRENT, STEPS, run_shortened, steps_of

if TYPE_CHECKING:
    from analyzer.tracing.tracer import Tracer

_CELLS = {torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell}


_CONVOLUTIONS = {
    torch.conv1d, torch.conv2d, torch.conv3d, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
    torch.convolution,
}  # fmt: skip


class Calls(TorchFunctionMode):
    """Runs recurrent layers without all of their steps, and complex convolutions as one."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the function, or what stands for it."""
        if func in _CONVOLUTIONS and any(isinstance(t, torch.Tensor) and t.is_complex() for t in args[:2]):
            with self.tracer.as_one_convolution():
                return func(*args, **(kwargs or {}))
        if func in RECURRENT or func in _CELLS:
            states = args[1 if steps_of(args) or func in _CELLS else 2]
            for state in states if isinstance(states, (list, tuple)) else (states,):
                self.tracer.origins.take_as_data(state)
            if func in RECURRENT and steps_of(args) > STEPS + 1 and self.tracer.home is not None:
                return run_shortened(self.tracer, func, args)
        return func(*args, **(kwargs or {}))
