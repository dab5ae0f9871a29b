"""Storages as they come and go, and what each turned out to be for.

A storage's kind (reading/heap.py) is that of its whole life, because what it is for is often seen only when it is used:
a tensor that is alive as the backward pass begins was saved by the forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from analyzer.reading.heap import KINDS, Moment
from analyzer.tracing.origins import storage_key, stored_parts


class _Storage:
    """One that was alive for a while."""

    __slots__ = ("kind", "size")

    def __init__(self, size: int) -> None:
        self.size, self.kind = size, ""


class MemoryLog:
    """Births and deaths in their order, and which storages are alive, by key."""

    def __init__(self) -> None:
        self._alive: dict[int, _Storage] = {}
        self._events: list[tuple[_Storage, int]] = []

    def __len__(self) -> int:
        return len(self._events)

    def born(self, key: int, size: int) -> None:
        """A storage is there from now on."""
        self._alive[key] = _Storage(size)
        self._events.append((self._alive[key], 1))

    def died(self, key: int) -> None:
        """It is no longer."""
        self._events.append((self._alive.pop(key), -1))

    def begin(self) -> None:
        """Forgets all before but what is alive now."""
        self._events = [(storage, 1) for storage in self._alive.values()]

    def tell(self, kind: str, tensors: Iterable[Tensor] | None = None) -> None:
        """Says of what kind tensors are (None: all that is alive), where that is not known already."""
        keys = self._alive if tensors is None else [storage_key(part) for one in tensors for part in stored_parts(one)]
        for key in keys:
            storage = self._alive.get(key) if key is not None else None
            if storage is not None and not storage.kind:
                storage.kind = kind

    def of_kinds(self, moments: Sequence[Moment], after: Sequence[int]) -> tuple[Moment, ...]:
        """Moments in their order with their bytes by kind, each as it was `after` so many events.

        One whose bytes do not add up to what was alive has none: then nobody knows.
        """
        alive, done, found = dict.fromkeys(KINDS, 0), 0, []
        for moment, number in zip(moments, after, strict=True):
            for storage, times in self._events[done:number]:
                alive[storage.kind or "transient"] += times * storage.size
            done, kinds = number, tuple(alive.values())
            found.append(moment._replace(kinds=kinds if sum(kinds) == moment.live_bytes else ()))
        return tuple(found)
