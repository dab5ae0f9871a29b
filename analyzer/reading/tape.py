"""What a replayed pass leaves for its backward: values on a heap, the tape's entries, calls that are run again."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim
    from analyzer.architecture.facts import Op
    from analyzer.architecture.schedule import ModulePlan
    from analyzer.reading.heap import HeapStorage


@dataclass(slots=True)
class HeapValue:
    """A value or a gradient: its storage and own size in bytes. `dense` says that it fills its storage in order."""

    storage: HeapStorage
    size: Dim
    dense: bool = True


@dataclass(slots=True)
class TapeEntry:
    """An op that the backward pass will undo, the module it belongs to, and the storages it keeps.

    In a checkpointed `region` it keeps none until the region is run again.
    """

    op: Op
    layer: str
    saved: list[HeapStorage]
    region: CheckpointRegion | None = None


@dataclass(slots=True)
class CheckpointRegion:
    """A module call under torch.utils.checkpoint (use_reentrant=False): it keeps its inputs, and its nodes nothing.

    The first node that needs what it would have kept runs the call again, up to the last value that any node keeps.
    """

    plan: ModulePlan
    inputs: list[HeapValue]
    nodes: dict[int, TapeEntry] = field(default_factory=dict)
    again: bool = False

    @property
    def last(self) -> TapeEntry:
        """The node that keeps the last value."""
        return next(node for node in reversed(self.nodes.values()) if keeps(node.op))


class KeptAllError(Exception):
    """Ends the second run of a region."""


def keeps(op: Op) -> bool:
    """Whether an op keeps anything for its backward."""
    return op.keeps != "nothing" or op.beside is not None


def alone(tensor: HeapValue) -> bool:
    """Whether no other tensor and no node holds the storage: it is referred to by this tensor, and by the call."""
    return sys.getrefcount(tensor.storage) == 2
