"""What the device's own allocator says of a model's steps, beside the prediction."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from analyzer.records import Conditions
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
        with torch.inference_mode(), self.cast():
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


def cuda_peaks(
    model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
) -> tuple[dict[str, int], int | None]:
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
    return peaks, torch.cuda.max_memory_reserved(device)


def cpu_peaks(
    model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
) -> tuple[dict[str, int], int | None]:
    """The allocator's running sum, by torch.profiler's memory events, on top of what is alive before a warm step."""
    step = AllocationStep(model, args, kwargs, conditions, device)
    for _ in range(WARM_STEPS):
        for phase in step.phases().values():
            phase()
        step.end()
    live = _alive(step)
    peaks: dict[str, int] = {}
    for name, phase in step.phases().items():
        changes = allocations(phase)
        high = live
        for change in changes:
            live += change
            high = max(high, live)
        peaks[name] = high
    return peaks, None


def allocations(call: Callable[[], None]) -> list[int]:
    """Bytes that the CPU's allocator gave (above 0) and took back, in order, while `call` ran."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    found = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    return [size for _, size in sorted(found, key=lambda pair: pair[0])]


def _alive(step: AllocationStep) -> int:
    """Bytes of parameters, buffers, gradients, optimizer state and inputs: each storage once."""
    tensors = [*step.model.parameters(), *step.model.buffers(), *step.args, *step.kwargs.values(), *step.targets]
    tensors += [p.grad for p in step.model.parameters() if p.grad is not None]
    for state in step.optimizer.state.values() if step.optimizer else ():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
