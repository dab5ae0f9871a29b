"""What a network costs on the way to a budget: the exact counter's figures, and no more of them than are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from analyzer.errors import CountError
from analyzer.figures import known
from analyzer.limits import Limit
from analyzer.reading.family import with_latency
from analyzer.reading.latency import Profile
from analyzer.records import Record

OF_PARAMETERS = {"params", "param_bytes"}
"""Figures that are known without a forward."""


@dataclass(frozen=True)
class Counter:
    """Counts networks that take `args` (tensors on meta); predicted times are a `profile`'s."""

    args: Sequence[Any]
    profile: Profile | None = None

    def record(self, model: nn.Module, name: str = "") -> Record:
        """All figures. Raises CountError where an operator has no formula: its MACs would be too few."""
        from analyzer.tracing.trace import count_module

        follows = self.profile is not None
        name = name or type(model).__name__
        record = count_module(model, list(self.args), name=name, strict=True, follows_work=follows)
        return record if self.profile is None else with_latency(record, self.profile)

    def values(self, model: nn.Module, limits: Sequence[Limit]) -> tuple[int, ...]:
        """The limits' figures of a model. Raises CountError where one is not known."""
        figures = {limit.figure for limit in limits}
        if figures <= OF_PARAMETERS:
            from analyzer.tracing.parameters import count_parameters

            record = count_parameters(model, name=type(model).__name__)
        else:
            record = self.record(model)
        found = tuple(known(limit.figure).of(record) for limit in limits)
        if None in found:
            figure = limits[found.index(None)].figure
            raise CountError(f"{figure} is not known of it", where=type(model).__name__, fix="limit another figure")
        return found


def within(values: Sequence[int], limits: Sequence[Limit]) -> bool:
    """Whether each figure meets its limit."""
    return all(limit.beyond(value) <= 0 for value, limit in zip(values, limits, strict=True))


def beyond(values: Sequence[int], limits: Sequence[Limit]) -> str:
    """The figures that do not meet their limits, in words: how near each gets."""
    return ", ".join(
        f"{(figure := known(limit.figure)).label} {figure.exact(value)} where {figure.exact(limit.bound)} are allowed"
        for value, limit in zip(values, limits, strict=True) if limit.beyond(value) > 0
    )  # fmt: skip
