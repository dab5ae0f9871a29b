"""A heap that counts the bytes of what is alive: Python's own references decide when a storage is freed.

Sizes are ints (one network) or int64 arrays (one entry a variant): what is allocated when is one for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.architecture.dims import Dim, is_array, larger
from analyzer.reading.tally import plus

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np


KINDS = ("weights", "optimizer", "gradients", "saved", "transient")
"""What memory is for: parameters and buffers; the optimizer's state; gradients of parameters; what the backward pass
needs, with images and targets; all else, which comes and goes."""


class Moment(NamedTuple):
    """A step of the timeline: the phase, the module that runs, the most bytes alive while it ran.

    `kinds` says of what these were, in the order of KINDS; empty where that is not known.
    """

    phase: str
    layer: str
    live_bytes: int
    kinds: tuple[int, ...] = ()


class Heap:
    """Bytes alive now, and the most that were. `moments` has one entry a step, where a timeline is asked for."""

    def __init__(self, *, timeline: bool = False) -> None:
        self.live: Dim = 0
        self._peak: Dim = 0
        self._high: Dim = 0
        self.moments: list[Moment] | None = [] if timeline else None
        self.kinds: dict[str, int] | None = dict.fromkeys(KINDS, 0) if timeline else None
        self._high_kinds: tuple[int, ...] = ()
        self.phase = ""

    @property
    def peak(self) -> Dim:
        """The most bytes that were alive."""
        return self._peak

    def allocate(self, size: Dim) -> HeapStorage:
        """A storage of `size` bytes, alive for as long as it is referred to."""
        storage = HeapStorage(self, size)
        self._count(storage, 1)
        self._grow(size)
        return storage

    def allocate_all(self, sizes: Sequence[Dim]) -> list[HeapStorage]:
        """Storages of many tensors that live and die together: one for all where nothing is rounded."""
        return [self.allocate(sum(sizes))]

    def free(self, storage: HeapStorage) -> None:
        """What a storage does when nothing refers to it."""
        self.live = self.live - storage.size
        self._count(storage, -1)

    def turn(self, storages: Iterable[HeapStorage], kind: str) -> None:
        """Says of what kind memory is from now on; before, all is transient."""
        if self.kinds is None:
            return
        for storage in storages:
            self._count(storage, -1)
            storage.kind = kind
            self._count(storage, 1)

    def begin(self, phase: str) -> None:
        """Begins a phase of the timeline, with what is alive now."""
        self.phase = phase
        self._begin_step()

    def mark(self, layer: str) -> None:
        """Ends a step of the timeline."""
        if self.moments is not None:
            self.moments.append(Moment(self.phase, layer, int(self._high), self._high_kinds))
            self._begin_step()

    def _begin_step(self) -> None:
        self._high = self.live
        self._high_kinds = self._kinds_now()

    def _kinds_now(self) -> tuple[int, ...]:
        return () if self.kinds is None else tuple(self.kinds.values())

    def _count(self, storage: HeapStorage, times: int) -> None:
        if self.kinds is not None:
            self.kinds[storage.kind] += times * int(storage.size)

    def _grow(self, size: Dim) -> None:
        self.live = self.live + size
        self._peak = larger(self._peak, self.live)
        if self.moments is not None and self.live >= self._high:
            self._high, self._high_kinds = self.live, self._kinds_now()


class HeapStorage:
    """Memory of one or more tensors, and what it is for (see KINDS)."""

    __slots__ = ("heap", "kind", "size")

    def __init__(self, heap: Heap, size: Dim) -> None:
        self.heap, self.size, self.kind = heap, size, "transient"

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
