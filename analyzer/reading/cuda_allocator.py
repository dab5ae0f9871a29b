"""A heap that hands out memory as CUDA's caching allocator does: what torch.cuda's own figures would say of a stream.

Rules (c10/cuda/CUDACachingAllocator.cpp): sizes are rounded up to 512 B. Up to 1 MiB they come from 2 MiB segments;
under 10 MiB from 20 MiB segments; larger ones from a segment of their own, rounded up to 2 MiB. The smallest free block
that fits is taken. It is split where more than 1 MiB (512 B among the small) would be left, else it counts whole.
Freed neighbours merge. Not in it: cuBLAS's and cuDNN's workspaces, and CUDA's context.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import count

from analyzer.architecture.dims import Dim
from analyzer.reading.heap import Heap, HeapStorage
from analyzer.units import MIB

ROUND, SMALL, LARGE = 512, MIB, 10 * MIB
SMALL_SEGMENT, LARGE_SEGMENT, ROUND_LARGE = 2 * MIB, 20 * MIB, 2 * MIB


class CudaBlock:
    """A piece of a segment, and the pieces beside it."""

    __slots__ = ("after", "before", "free", "number", "size", "small")

    def __init__(self, number: int, size: int, small: bool) -> None:
        self.number, self.size, self.small, self.free = number, size, small, True
        self.before: CudaBlock | None = None
        self.after: CudaBlock | None = None

    @property
    def key(self) -> tuple[int, int]:
        """By size, then by age."""
        return self.size, self.number


class CudaHeap(Heap):
    """`live` and `peak` are bytes of blocks in use (`max_memory_allocated`), `reserved` those of all segments."""

    def __init__(self, *, timeline: bool = False) -> None:
        super().__init__(timeline=timeline)
        self.kinds = None  # a block is larger than what it is for
        self.reserved = 0
        self._numbers = count()
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._by_number: dict[int, CudaBlock] = {}

    def allocate(self, size: Dim) -> HeapStorage:
        """A block for `size` bytes of one network; nothing for none."""
        size = int(size)
        storage = _Held(self, size)
        if size:
            block = self._take(-(-size // ROUND) * ROUND)
            storage.block = block
            self._grow(block.size)
        return storage

    def allocate_all(self, sizes: Sequence[Dim]) -> list[HeapStorage]:
        """A block each."""
        return [self.allocate(size) for size in sizes]

    def free(self, storage: HeapStorage) -> None:
        """Gives the block back, merged with free neighbours."""
        block = storage.block if isinstance(storage, _Held) else None
        if block is None:
            return
        self.live -= block.size
        for neighbour in (block.before, block.after):
            if neighbour is not None and neighbour.free:
                self._forget(neighbour)
                self._merge(block, neighbour)
        block.free = True
        self._remember(block)

    def _take(self, size: int) -> CudaBlock:
        small = size <= SMALL
        known = self._free[small]
        at = bisect_left(known, (size, -1))
        if at < len(known):
            block = self._by_number[known[at][1]]
            self._forget(block)
        else:
            block = self._segment(size, small)
        left = block.size - size
        if left >= ROUND if small else left > SMALL:
            self._split(block, size)
        block.free = False
        return block

    def _segment(self, size: int, small: bool) -> CudaBlock:
        large = LARGE_SEGMENT if size < LARGE else -(-size // ROUND_LARGE) * ROUND_LARGE
        whole = SMALL_SEGMENT if small else large
        self.reserved += whole
        return CudaBlock(next(self._numbers), whole, small)

    def _split(self, block: CudaBlock, size: int) -> None:
        rest = CudaBlock(next(self._numbers), block.size - size, block.small)
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        self._remember(rest)

    def _merge(self, block: CudaBlock, neighbour: CudaBlock) -> None:
        if neighbour is block.before:
            block.before = neighbour.before
            if block.before is not None:
                block.before.after = block
        else:
            block.after = neighbour.after
            if block.after is not None:
                block.after.before = block
        block.size += neighbour.size

    def _remember(self, block: CudaBlock) -> None:
        insort(self._free[block.small], block.key)
        self._by_number[block.number] = block

    def _forget(self, block: CudaBlock) -> None:
        known = self._free[block.small]
        del known[bisect_left(known, block.key)]
        del self._by_number[block.number]


class _Held(HeapStorage):
    """A storage and the block it lies in."""

    __slots__ = ("block",)

    def __init__(self, heap: CudaHeap, size: int) -> None:
        super().__init__(heap, size)
        self.block: CudaBlock | None = None
