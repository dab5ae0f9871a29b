"""Batch norm where several processes share a batch: over all of it, or over each one's own images.

Modules keep their names and tensors, so that a checkpoint is the plain network's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from analyzer.errors import TargetError

if TYPE_CHECKING:
    from analyzer.training.together import Together

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The modules that are torch's own batch norm, each once."""
    return [module for module in model.modules() if isinstance(module, KINDS) and type(module) in KINDS]


# -- over the whole batch --------------------------------------------------------------------------------------


def synchronise(model: nn.Module, together: Together) -> None:
    """Has each batch norm take the statistics of all processes' images. Raises TargetError for one of another kind.

    torch's own SyncBatchNorm is for GPUs alone. A module becomes another class, in its place: whatever else refers to
    it is synchronised, too.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and type(module) not in (*KINDS, WholeBatchNorm):
            raise TargetError(
                f"{name} is a {type(module).__name__}, batch norm of its own kind, which can't be synchronised",
                where=type(model).__name__, fix="train with --batch-norm ghost",
            )  # fmt: skip
    for module in norms_of(model):
        module.__class__ = WholeBatchNorm
        module.together = together  # type: ignore[assignment]


class WholeBatchNorm(_BatchNorm):
    """Batch norm over the images of all processes, in training; in evaluation torch's."""

    together: Together

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, not {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """As torch's, of inputs (N, C, ...)."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        made, mean, var, count = _Whole.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, self.eps, self.together
        )
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            self._track(mean, var * (count / (count - 1)))
        normed: Tensor = made
        return normed

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased: Tensor) -> None:
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if momentum is None else momentum
        for running, found in ((self.running_mean, mean), (self.running_var, unbiased)):
            assert running is not None
            running.mul_(1 - (momentum or 0.0)).add_((momentum or 0.0) * found.to(running))


class _Whole(torch.autograd.Function):
    """Normalises by the mean and deviation of all processes' inputs; its gradients are of the sum of their losses."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, together: Together
    ) -> tuple[Tensor, ...]:
        """What is normalised; over all processes the mean, the biased variance, how many numbers a channel has."""
        mean, var, count = _statistics(x, together)
        ctx.mark_non_differentiable(mean, var, count)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.together, ctx.biased = eps, together, bias is not None
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Gradients by the input, the weight and the bias; the latter two of this process's images alone."""
        x, weight, mean, var, count = ctx.saved_tensors
        wide = given.to(mean.dtype)
        centred = x.to(mean.dtype) - _wide(mean, x)
        inverse = (var + ctx.eps).rsqrt()
        by_bias, by_weight = _sums(wide, x), _sums(wide * centred, x) * inverse
        sums = ctx.together.add_up(torch.stack([by_bias, by_weight]).double()) / count
        by_mean, by_deviation = sums.to(mean.dtype)
        scale = inverse if weight is None else inverse * weight
        by_input = centred.mul_(_wide(-by_deviation * inverse, x)).add_(wide).sub_(_wide(by_mean, x))
        by_input = by_input.mul_(_wide(scale, x)).to(x.dtype)
        return by_input, None if weight is None else by_weight, by_bias if ctx.biased else None, None, None


def _statistics(x: Tensor, together: Together) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance of each channel over all processes (Chan et al. 1979), and how many numbers it has."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    own = x.numel() / x.shape[1]
    mean = _sums(wide, x) / own
    squares = _sums((wide - _wide(mean, x)).square_(), x)
    mine = torch.stack([torch.full_like(mean, own), mean, squares]).double()
    counts, means, squared = together.stacked(mine).unbind(1)
    count = counts.sum(0)
    whole = (counts * means).sum(0) / count
    var = (squared + counts * (means - whole).square()).sum(0) / count
    return whole.to(mean), var.to(mean), count[0]


def _sums(of: Tensor, x: Tensor) -> Tensor:
    """The sum of each channel."""
    return of.sum([axis for axis in range(x.dim()) if axis != 1])


def _wide(of_channels: Tensor, x: Tensor) -> Tensor:
    """A number a channel, in the shape that meets (N, C, ...)."""
    return of_channels.view(1, -1, *[1] * (x.dim() - 2))


# -- over each process's own images ----------------------------------------------------------------------------


def _running(norm: _BatchNorm) -> list[Tensor]:
    """Its running mean and variance; nothing where it keeps none."""
    kept = [tensor for tensor in (norm.running_mean, norm.running_var) if tensor is not None]
    return kept if norm.num_batches_tracked is not None else []


class Settled:
    """Has all processes keep the same buffers: running statistics as one process has them that takes all shares, one
    after the other; any other buffer as the first process has it.
    """

    def __init__(self, model: nn.Module, together: Together) -> None:
        self.together = together
        norms = [norm for norm in norms_of(model) if _running(norm)]
        self.counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
        self.running = [tensor for norm in norms for tensor in _running(norm)]
        each = torch.tensor([tensor.numel() for tensor in self.running], dtype=torch.int64)
        self.owner = torch.arange(len(norms)).repeat_interleave(2).repeat_interleave(each)
        momenta = [math.nan if norm.momentum is None else norm.momentum for norm in norms]
        self.momentum = torch.tensor(momenta, dtype=torch.float64)[self.owner]
        whole = {id(each) for norm in model.modules() if isinstance(norm, WholeBatchNorm) for each in norm.buffers()}
        known = {id(each) for each in (*self.running, *self.counts)} | whole
        self.others = [buffer for buffer in model.buffers() if id(buffer) not in known]

    def now(self) -> Tensor:
        """Running statistics, then how many updates each module has had; float64."""
        if not self.counts:
            return torch.empty(0)
        return torch.cat([tensor.reshape(-1).double() for tensor in (*self.running, *self.counts)])

    def settle(self, before: Tensor) -> None:
        """Puts each process's updates of a step after the other's, from what was `now` before it."""
        self.together.copy_first(self.others)
        if not self.counts:
            return
        owner, momentum = self.owner.to(before.device), self.momentum.to(before.device)
        rows = self.together.stacked(self.now())
        start, counts = before[: len(owner)], before[len(owner) :]
        at, seen = start, counts[owner]
        for row in rows:
            found, updates = row[: len(owner)], (row[len(owner) :] - counts)[owner]
            left = (1 - momentum) ** updates
            mean = (at * seen + found * (counts[owner] + updates) - start * counts[owner]) / (seen + updates)
            moved = torch.where(momentum.isnan(), mean, left * at + found - left * start)
            at, seen = torch.where(updates > 0, moved, at), seen + updates
        counts = counts + (rows[:, len(owner) :] - counts).sum(0)
        sizes = [tensor.numel() for tensor in (*self.running, *self.counts)]
        for tensor, part in zip(
            (*self.running, *self.counts), torch.split(torch.cat([at, counts]), sizes), strict=True
        ):
            tensor.copy_(part.view_as(tensor))
