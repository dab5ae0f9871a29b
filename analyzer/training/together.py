"""Processes that train one network together, as torchrun starts them: who is which, and what they tell each other.

Gradients are added up once a step, in buckets laid out by the network alone. torch's DistributedDataParallel lays its
buckets anew after a process's first step, so that more than two processes that go on would add in another order than
those that were never ended.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from analyzer.errors import AnalyzerError, ProcessLostError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn
else:
    from analyzer.later import np

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)
"""What one waits for another, such as while the first looks at all images; one that has ended is known at once."""
BUCKET = 25 * 2**20
"""Bytes of gradients that are added up at once."""


class ToldElsewhereError(AnalyzerError):
    """An error of the first process, which tells it; every other one ends without a word (exit 0)."""

    exit_code = 0


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that speaks and writes: the first, or alone."""
    return not launched() or os.environ["RANK"] == "0"


@dataclass(frozen=True)
class Together:
    """One of several processes (`rank`, of `processes`; `local_rank`, of `local` on its machine), or one alone.

    What is asked here is asked by all of them, in the same order. Raises ProcessLostError where another one has ended.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.processes == 1

    @property
    def keys(self) -> tuple[int, ...]:
        """What keys draws that each process makes for itself; nothing where one is alone."""
        return () if self.alone else (self.rank,)

    # -- what is divided ---------------------------------------------------------------------------------------

    def largest(self, images: int) -> int:
        """How many of so many images the first process takes; no other takes more."""
        return -(-images // self.processes)

    def share(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part: one run of them, as long as the others' or one shorter."""
        return np.array_split(indices, self.processes)[self.rank]

    def gathered(self, own: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What all have, in the order of their shares, on the first; None on the others."""
        if self.alone:
            return own
        import torch.distributed as dist

        each: list[Any] | None = [None] * self.processes if self.rank == 0 else None
        with self._heard():
            dist.gather_object(own, each)
        return None if each is None else np.concatenate(each)

    # -- what is agreed on -------------------------------------------------------------------------------------

    def first(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first process, to all. An AnalyzerError of it is the others' ToldElsewhereError."""
        if self.alone:
            return work()
        import torch.distributed as dist

        said: list[Any] = [None, None]
        failed: AnalyzerError | None = None
        if self.rank == 0:
            try:
                said[0] = work()
            except AnalyzerError as error:
                failed, said[1] = error, (error.what, error.where, error.fix)
        with self._heard():
            dist.broadcast_object_list(said, src=0)
        if failed is not None:
            raise failed
        if said[1] is not None:
            what, where, fix = said[1]
            raise ToldElsewhereError(what, where=where, fix=fix)
        given: T = said[0]
        return given

    def all_of(self, value: T) -> list[T]:
        """What each has, by rank."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        each: list[Any] = [None] * self.processes
        with self._heard():
            dist.all_gather_object(each, value)
        return each

    def most(self, *values: int) -> tuple[int, ...]:
        """The largest of each value that any process has."""
        if self.alone:
            return values
        import torch

        asked = torch.tensor(values, dtype=torch.int64)
        self._reduced(asked, "MAX")
        return tuple(map(int, asked.tolist()))

    def total(self, value: float) -> float:
        """The sum of what each has."""
        return value if self.alone else sum(self.all_of(value))

    # -- tensors -----------------------------------------------------------------------------------------------

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, in its place."""
        if not self.alone:
            self._reduced(tensor, "SUM")
        return tensor

    def stacked(self, tensor: Tensor) -> Tensor:
        """All processes' tensors, by rank: (processes, *shape)."""
        import torch
        import torch.distributed as dist

        each = [torch.empty_like(tensor) for _ in range(self.processes)]
        with self._heard():
            dist.all_gather(each, tensor)
        return torch.stack(each)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Gives each parameter the sum of all processes' gradients; one that has none anywhere keeps none."""
        if self.alone:
            return
        import torch

        has = self.most(*(parameter.grad is not None for parameter in parameters))
        used = [parameter for parameter, any_has in zip(parameters, has, strict=True) if any_has]
        for bucket in _buckets(used):
            flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in bucket])
            self._reduced(flat, "SUM")
            parts = torch.split(flat, [each.numel() for each in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                _gradient(parameter).copy_(part.view_as(parameter))

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Gives each tensor the first process's numbers."""
        if self.alone:
            return
        import torch.distributed as dist

        for tensor in tensors:
            whole = tensor.detach().contiguous()
            with self._heard():
                dist.broadcast(whole, src=0)
            tensor.detach().copy_(whole)

    def _reduced(self, tensor: Tensor, by: str) -> None:
        import torch.distributed as dist

        with self._heard():
            dist.all_reduce(tensor, getattr(dist.ReduceOp, by))

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Whatever fails on the way to another process is told as what it is."""
        try:
            yield
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise ProcessLostError(
                "another process of this training has ended, or has not answered in "
                f"{PATIENCE.total_seconds() / 60:g} minutes",
                where=f"process {self.rank} of {self.processes}",
                fix="see what ended it; the same command goes on from the last checkpoint",
            ) from error


ALONE = Together()


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Its gradient; zeros where this process has none."""
    if parameter.grad is None:
        import torch

        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one type, up to BUCKET bytes together."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        own = parameter.numel() * parameter.element_size()
        if bucket and (size + own > BUCKET or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += own
    if bucket:
        yield bucket


# -- meeting ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Together]:
    """This process among those that torchrun started, for what is inside: gloo on CPUs, and NCCL between GPUs.

    Raises UsageError where they can't meet.
    """
    if not launched():
        yield ALONE
        return
    import torch.distributed as dist

    if not dist.is_available() or dist.is_initialized():
        what = "has a process group already" if dist.is_available() else "has no torch.distributed"
        raise UsageError(f"this process {what}", where="torchrun", fix="train before it is made, or without torchrun")
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    together = Together(*(int(os.environ[name]) for name in names))
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        what = f"{together.processes} processes can't meet: {error}".splitlines()[0]
        raise UsageError(what, where="torchrun", fix="see that all can reach --rdzv-endpoint") from error
    try:
        yield together
    except ProcessLostError:
        raise  # waiting for the others would have no end
    except BaseException:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Where this process of several trains: each on a GPU of its own. Raises UsageError where there are too few."""
    if device.type != "cuda" or not launched():
        return device
    import torch

    own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None or own >= there:
        what = f"all processes on {device}" if device.index is not None else f"process {own} has no GPU of its own"
        raise UsageError(what, where="--device", fix=f"--device cuda and --nproc-per-node {there}, or --device cpu")
    torch.cuda.set_device(own)
    return torch.device("cuda", own)
