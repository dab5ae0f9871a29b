"""A steady training step of any module, as its storages are tracked: forward, loss, backward pass, optimizer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analyzer.errors import CountError
from analyzer.reading.peak import Training
from analyzer.tracing.attribution import tensors_in
from analyzer.tracing.elsewhere import drained

if TYPE_CHECKING:
    from analyzer.tracing.lifetimes import Lifetimes


def autocast(training: Training) -> contextlib.AbstractContextManager[Any]:
    """torch's context of a Training's autocast; none where it has none."""
    if training.autocast == "none":
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=getattr(torch, training.autocast))


def train(model: nn.Module, args: Any, kwargs: Any, training: Training, lifetimes: Lifetimes) -> list[str]:
    """Two steps as peak.py describes them; the second is steady. Returns what is to be said of the loss."""
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], training)
    targets: list[Tensor] = []
    for _ in range(2):
        lifetimes.log.tell("optimizer", tensors_in(list(optimizer.state.values())))
        lifetimes.begin("optimizer")  # its zero_grad
        _step(model, args, kwargs, training, lifetimes, optimizer, targets)
    return [] if targets else ["the training peak is with the sum of what the model returns as its loss"]


def _step(
    model: nn.Module, args: Any, kwargs: Any, training: Training, lifetimes: Lifetimes, optimizer: Any, targets: Any
) -> None:
    if training.zero_grad == "before_forward":
        optimizer.zero_grad()
    for _ in range(training.accumulate):
        lifetimes.phase = "forward"
        with autocast(training):
            out = drained(model(*args, **kwargs))
            if training.zero_grad == "after_forward":
                optimizer.zero_grad()
            lifetimes.phase = "loss"
            loss = _loss(out, targets)
        lifetimes.phase = "backward"
        lifetimes.log.tell("saved")
        loss.backward()  # type: ignore[no-untyped-call]
        lifetimes.log.tell("gradients", [p.grad for p in model.parameters() if p.grad is not None])
    lifetimes.phase = "optimizer"
    optimizer.step()


def _loss(out: Any, targets: list[Tensor]) -> Tensor:
    if isinstance(out, Tensor) and out.dim() == 2 and out.is_floating_point():
        if not targets:
            targets.append(torch.empty(out.shape[0], dtype=torch.long, device=out.device))
        return F.cross_entropy(out, targets[0])
    outputs = [tensor for tensor in tensors_in(out) if tensor.requires_grad]
    if not outputs:
        raise CountError("no output needs a gradient, so there is no training step")
    return torch.stack([tensor.sum() for tensor in outputs]).sum()


class _FusedState:
    """What torch's fused optimizers hold and do: their state beside the parameters, and a step without a transient.

    torch itself refuses them on meta.
    """

    def __init__(self, parameters: list[Tensor], training: Training) -> None:
        adam = training.optimizer in ("adam", "adamw")
        copies = 2 if adam else int(training.optimizer == "sgd_momentum")
        self.parameters = parameters
        state = [torch.empty_like(p) for p in parameters for _ in range(copies)]
        state += [torch.empty((), device=p.device) for p in parameters if adam]
        self.state = dict(enumerate(state))

    def zero_grad(self) -> None:
        """Drops the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Changes everything in place."""


def make_optimizer(parameters: list[Tensor], training: Training) -> Any:
    """torch's optimizer of a Training."""
    if training.form == "fused":
        return _FusedState(parameters, training)
    decay = 0.01 if training.weight_decay else 0.0
    foreach = training.form == "foreach"
    if training.optimizer in ("adam", "adamw"):
        make = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
        return make(parameters, weight_decay=decay, foreach=foreach)
    momentum = 0.9 if training.optimizer == "sgd_momentum" else 0.0
    return torch.optim.SGD(parameters, momentum=momentum, weight_decay=decay, foreach=foreach)
