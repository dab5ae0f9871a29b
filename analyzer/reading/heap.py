"""A heap that counts the bytes of what is alive: Python's own references decide when a storage is freed.

Sizes are ints (one network) or int64 arrays (one entry a variant): what is allocated when is one for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.architecture.dims import Dim, is_array, larger
from analyzer.reading.tally import plus

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np


class Moment(NamedTuple):
    """A step of the timeline: the phase, the module that runs, the most bytes alive while it ran."""

    phase: str
    layer: str
    live_bytes: int


class Heap:
    """Bytes alive now, and the most that were. `moments` has one entry a step, where a timeline is asked for."""

    def __init__(self, *, timeline: bool = False) -> None:
        self.live: Dim = 0
        self._peak: Dim = 0
        self._high: Dim = 0
        self.moments: list[Moment] | None = [] if timeline else None
        self.phase = ""

    @property
    def peak(self) -> Dim:
        """The most bytes that were alive."""
        return self._peak

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
        self._peak = larger(self._peak, self.live)
        if self.moments is not None:
            self._high = larger(self._high, self.live)


class HeapStorage:
    """Memory of one or more tensors."""

    __slots__ = ("heap", "size")

    def __init__(self, heap: Heap, size: Dim) -> None:
        self.heap, self.size = heap, size

    def __del__(self) -> None:
        self.heap.free(self)


class Many(NamedTuple):
    """A size in an array heap: `times` the amounts of an array."""

    amount: Dim
    times: Any


class ArrayHeap(Heap):
    """A heap of many variants, which adds up as few arrays as it can.

    The most is alive where something is freed after something was allocated: at a top. Changes are kept as how many of
    each size came and went, by the very array, so that what comes and goes costs nothing; and of two tops that follow
    each other, the one that is seen to be below in every variant (nothing but came, nothing but went) is passed over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, Dim] = {}  # by the array's id; 0: bytes that all have
        self._to_top: dict[int, int] = {}  # from the `_level` that was added up to the top that is looked at
        self._since: dict[int, int] = {}
        self._rising = False
        self._level: Any = np.zeros(1, np.int64)

    @property
    def peak(self) -> Dim:
        """The most bytes that were alive."""
        self._at_top()
        self._add_up()
        return self._peak

    def free(self, storage: HeapStorage) -> None:
        """What a storage does when nothing refers to it."""
        if self._rising:
            self._at_top()
        self._change(storage.size, -1)

    def _grow(self, size: Dim) -> None:
        self._rising = True
        self._change(size, 1)

    def _change(self, size: Dim, by: int) -> None:
        if isinstance(size, Many):
            size, by = size.amount, size.times * by
        key, number = (id(size), by) if is_array(size) else (0, by * int(size))
        self._sizes[key] = size
        self._since[key] = self._since.get(key, 0) + number
        if not self._since[key]:
            del self._since[key]

    def _at_top(self) -> None:
        self._rising = False
        if min(self._since.values(), default=0) >= 0:
            for key, number in self._since.items():
                self._to_top[key] = self._to_top.get(key, 0) + number
        elif max(self._since.values()) <= 0:
            return
        else:
            self._add_up()
            self._to_top = self._since
        self._since = {}

    def _add_up(self) -> None:
        for key, number in self._to_top.items():
            if key == 0:
                self._level += number
            elif number:
                self._level = plus(self._level, self._sizes[key], number)
        self._to_top = {}
        self._peak = larger(self._peak, self._level)
