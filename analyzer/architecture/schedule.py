"""When a network's modules take, make and drop values: the one schedule, which is built and whose peak is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.architecture.facts import Op, Scope

if TYPE_CHECKING:
    from analyzer.architecture.net import Net


@dataclass(frozen=True, slots=True)
class Call:
    """One step of a module's forward: the op or the child module, the values it reads, writes, is the last to read."""

    step: Op | Scope
    plan: ModulePlan | None
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModulePlan:
    """A module's forward: values (ids of the trace's tensors) it takes, its calls in order, values it returns."""

    scope: Scope
    takes: tuple[int, ...]
    calls: tuple[Call, ...]
    gives: tuple[int, ...]

    @property
    def chains(self) -> bool:
        """Whether each call is a module that reads what the one before it returns, alone: nn.Sequential's forward."""
        links = [self.takes, *(call.writes for call in self.calls)]
        reads = [*(call.reads for call in self.calls), self.gives]
        return links == reads and len(self.takes) == 1 and all(call.step.name for call in self.calls)


def plan(net: Net) -> ModulePlan:
    """The root module's plan, with those of its children in it."""
    ops = [op for _, op in net.ops()]
    last = {x.id: i for i, op in enumerate(ops) for x in op.inputs}
    last[net.output_tensor.id] = len(ops)
    return _plan(net.root, iter(range(len(ops))), last)[0]


def _plan(scope: Scope, numbers: Iterator[int], last: dict[int, int]) -> tuple[ModulePlan, int]:
    """A scope's plan and the number of its last op. `last` has the number of the last op that reads a value."""
    drafts: list[tuple[Op | Scope, ModulePlan | None, tuple[int, ...], tuple[int, ...]]] = []
    takes: dict[int, None] = {}
    made: dict[int, None] = {}
    end = 0
    for step in scope.steps:
        if isinstance(step, Scope):
            child, end = _plan(step, numbers, last)
            drafts.append((step, child, child.takes, child.gives))
        else:
            end = next(numbers)
            drafts.append((step, None, tuple(x.id for x in step.inputs), (step.output.id,)))
        takes.update((value, None) for value in drafts[-1][2] if value not in made)
        made.update(dict.fromkeys(drafts[-1][3]))
    gives = tuple(value for value in made if last[value] > end)
    return ModulePlan(scope, tuple(takes), tuple(_calls(drafts, set(gives))), gives), end


def _calls(
    drafts: list[tuple[Op | Scope, ModulePlan | None, tuple[int, ...], tuple[int, ...]]], gives: set[int]
) -> Iterator[Call]:
    last = {value: i for i, (_, _, reads, _) in enumerate(drafts) for value in reads}
    for i, (step, child, reads, writes) in enumerate(drafts):
        ends = tuple(value for value in dict.fromkeys(reads) if last[value] == i and value not in gives)
        yield Call(step, child, reads, writes, ends)
