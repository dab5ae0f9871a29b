"""What the device's own allocator says of a model's steps, beside the prediction."""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from analyzer.measurements import Conditions
from analyzer.tracing.attribution import tensors_in

WARM_STEPS = 2


def autocast(conditions: Conditions, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """torch's context of the conditions' autocast; none where they have none."""
    if conditions.autocast == "none":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, conditions.autocast))


class AllocationStep:
    """A steady step in phases, each a call; what lives between them is kept here."""

    def __init__(
        self, model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
    ) -> None:
        self.model, self.args, self.kwargs = model, args, kwargs
        self.cast = functools.partial(autocast, conditions, device)
        self.training = conditions.mode == "training"
        model.train(self.training)
        self.optimizer = torch.optim.Adam(model.parameters(), foreach=True) if self.training else None
        self.out: Any = None
        self.loss: Any = None
        self.targets: list[torch.Tensor] = []

    def phases(self) -> dict[str, Callable[[], None]]:
        """Name -> what runs, in order."""
        if not self.training:
            return {"forward": self._infer}
        return {"forward": self._forward, "backward": self._backward, "optimizer": self._optimize}

    def end(self) -> None:
        """Drops what a step function's locals would."""
        self.out = self.loss = None

    def _infer(self) -> None:
        # Not inference_mode, in which autocast keeps no copies of weights: the prediction is of the dearer of the two.
        with torch.no_grad(), self.cast():
            self.out = self.model(*self.args, **self.kwargs)

    def _forward(self) -> None:
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        with self.cast():
            self.out = self.model(*self.args, **self.kwargs)
            self.loss = loss_of(self.out, self.targets)

    def _backward(self) -> None:
        self.loss.backward()

    def _optimize(self) -> None:
        assert self.optimizer is not None
        self.optimizer.step()


def loss_of(out: Any, targets: list[torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of (N, classes) with class 0, else the sum of all floats that are returned.

    `targets` keeps the classes from one step to the next.
    """
    if isinstance(out, torch.Tensor) and out.dim() == 2:
        if not targets:
            targets.append(torch.zeros(len(out), dtype=torch.long, device=out.device))
        return F.cross_entropy(out, targets[0])
    return torch.stack([tensor.float().sum() for tensor in tensors_in(out) if tensor.requires_grad]).sum()


@dataclass(frozen=True)
class Peaks:
    """The allocator's peak in each phase of a warm step, what it reserved of all, and what a kernel took at the
    highest.

    `kernel` names the operator that ran then and `kernel_bytes` are those that it gave back before it ended: its own
    buffers. Both are known on the CPU alone.
    """

    phases: dict[str, int]
    reserved: int | None = None
    kernel: str | None = None
    kernel_bytes: int = 0


def cuda_peaks(
    model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
) -> Peaks:
    """`max_memory_allocated` of each phase of a warm step, and `max_memory_reserved` of all."""
    step = AllocationStep(model, args, kwargs, conditions, device)
    peaks: dict[str, int] = {}
    for _ in range(WARM_STEPS + 1):
        for name, phase in step.phases().items():
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            phase()
            torch.cuda.synchronize(device)
            peaks[name] = torch.cuda.max_memory_allocated(device)
        step.end()
    return Peaks(peaks, torch.cuda.max_memory_reserved(device))


def cpu_peaks(
    model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
) -> Peaks:
    """The allocator's running sum, by torch.profiler's memory events, on top of what is alive before a warm step."""
    step = AllocationStep(model, args, kwargs, conditions, device)
    for _ in range(WARM_STEPS):
        for phase in step.phases().values():
            Allocations(phase)  # the profiler sees memory given back only where it saw it given
        step.end()
    live = _alive(step)
    peaks = Peaks({})
    for name, phase in step.phases().items():
        made = Allocations(phase)
        high, live = live + made.high, live + made.running[-1]
        first = high > max(peaks.phases.values(), default=0)
        kernel, size = made.kernel() if first else (peaks.kernel, peaks.kernel_bytes)
        peaks = Peaks({**peaks.phases, name: high}, None, kernel, size)
    return peaks


class Allocations:
    """What the CPU's allocator gave and took back while `call` ran: `running` sums in bytes, and `high`, the
    highest.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            call()
        events = profiler.profiler.kineto_results.events()
        changes = sorted(
            ((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"), key=lambda pair: pair[0]
        )
        self._times = [0, *(when for when, _ in changes)]
        self._operators = [(e.start_ns(), e.end_ns(), e.name()) for e in events if e.name().startswith("aten::")]
        self.running = list(itertools.accumulate((size for _, size in changes), initial=0))
        self.high = max(self.running)

    def kernel(self) -> tuple[str | None, int]:
        """The innermost operator of those that ran at the peak that gave memory back before its end, and how much."""
        peak = self._times[self.running.index(self.high)]
        inside = [(end - start, end, name) for start, end, name in self._operators if start <= peak <= end]
        for _, end, name in sorted(inside):
            kept = self.running[bisect.bisect_right(self._times, end) - 1]
            if kept < self.high:
                return name.removeprefix("aten::"), self.high - kept
        return None, 0


def _alive(step: AllocationStep) -> int:
    """Bytes of parameters, buffers, gradients, optimizer state and inputs: each storage once."""
    tensors = [*step.model.parameters(), *step.model.buffers(), *step.args, *step.kwargs.values(), *step.targets]
    tensors += [p.grad for p in step.model.parameters() if p.grad is not None]
    for state in step.optimizer.state.values() if step.optimizer else ():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
