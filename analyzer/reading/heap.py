"""A heap that counts the bytes of what is alive: Python's own references decide when a storage is freed.

Sizes are ints (one network) or int64 arrays (one entry a variant): what is allocated when is one for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analyzer.architecture.dims import Dim, larger


class Moment(NamedTuple):
    """A step of the timeline: the phase, the module that runs, the most bytes alive while it ran."""

    phase: str
    layer: str
    live_bytes: int


class Heap:
    """Bytes alive now, and the most that were. `moments` has one entry a step, where a timeline is asked for."""

    def __init__(self, *, timeline: bool = False) -> None:
        self.live: Dim = 0
        self.peak: Dim = 0
        self._high: Dim = 0
        self.moments: list[Moment] | None = [] if timeline else None
        self.phase = ""

    def allocate(self, size: Dim) -> HeapStorage:
        """A storage of `size` bytes, alive for as long as it is referred to."""
        storage = HeapStorage(self, size)
        self._grow(size)
        return storage

    def allocate_all(self, sizes: Sequence[Dim]) -> list[HeapStorage]:
        """Storages of many tensors that live and die together: one for all where nothing is rounded."""
        return [self.allocate(sum(sizes))]

    def free(self, storage: HeapStorage) -> None:
        """What a storage does when nothing refers to it."""
        self.live = self.live - storage.size

    def begin(self, phase: str) -> None:
        """Begins a phase of the timeline, with what is alive now."""
        self.phase, self._high = phase, self.live

    def mark(self, layer: str) -> None:
        """Ends a step of the timeline."""
        if self.moments is not None:
            self.moments.append(Moment(self.phase, layer, int(self._high)))
            self._high = self.live

    def _grow(self, size: Dim) -> None:
        self.live = self.live + size
        self.peak = larger(self.peak, self.live)
        if self.moments is not None:
            self._high = larger(self._high, self.live)


class HeapStorage:
    """Memory of one or more tensors."""

    __slots__ = ("heap", "size")

    def __init__(self, heap: Heap, size: Dim) -> None:
        self.heap, self.size = heap, size

    def __del__(self) -> None:
        self.heap.free(self)
