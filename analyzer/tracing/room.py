"""What a run on the CPU takes, said before it is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from analyzer.errors import CountError
from analyzer.units import format_gib

SHARE = 0.5
"""The share of the memory that is free that a run on the CPU may take, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class OnCpu:
    """How a model runs on the CPU where values are needed.

    `rebuild` makes it anew there, for a model on meta, whose buffers have no values. Weights and inputs take at most
    `memory` bytes (None: a share of what is free).
    """

    rebuild: Callable[[], nn.Module] | None = None
    memory: int | None = None


AS_IT_IS = OnCpu()


def require_room(tensors: Iterable[Tensor], bound: int | None, *, rebuilt: bool, told: CountError) -> None:
    """CountError where the weights and inputs of a run on the CPU are over `bound` bytes (None: a share of what is
    free).

    A model that is `rebuilt` is there twice, once to be copied. `told` says what needs values.
    """
    import psutil

    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors) * (2 if rebuilt else 1)
    allowed = int(SHARE * psutil.virtual_memory().available) if bound is None else bound
    if needed <= allowed:
        return
    raise CountError(
        f"{told.what}; values need a run on the CPU, which takes {format_gib(needed)} for weights and inputs alone, "
        f"over the {format_gib(allowed)} that it may",
        where=told.where,
        fix="allow it with --cpu-memory (cpu_memory in Python), count fewer of the same layers, or have the forward "
        "decide by shapes",
    )
