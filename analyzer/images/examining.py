"""Every image looked at once, on all cores: whether it can be decoded, what it is, and a thumbnail of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from analyzer.images.base import DamagedImageError, DataError, Pixels, Source
from analyzer.images.folders import FileSource
from analyzer.images.likeness import dhash, is_flat, thumbnail
from analyzer.processes import as_worker

LEAST_SIDE = 128
"""A JPEG may be decoded smaller than it is, but for its thumbnail's sake no side below this."""
FEW = 400
"""Images that are not worth a pool of processes."""
_CHUNK = 8
"""Few: whoever interrupts waits until they are done."""

Watch = Callable[[int, int], None]
"""Told how many images are done, and of how many."""


@dataclass(frozen=True)
class Seen:
    """What one look at an image gives; of a damaged one only why it is."""

    content: str = ""
    size: tuple[int, int] = (0, 0)
    odd: tuple[str, ...] = ()
    small: Pixels | None = None
    hash: int = 0
    damage: str = ""


def examine(source: Source, watch: Watch) -> list[Seen]:
    """What each image of a source is, in order. Contents that were found stay in the source."""
    seen: list[Seen] = []
    for some in _in_processes(source) if isinstance(source, FileSource) and len(source) > FEW else _here(source):
        seen += some
        watch(len(seen), len(source))
    source.contents.update({index: each.content for index, each in enumerate(seen) if each.content})
    return seen


def _here(source: Source) -> Iterator[list[Seen]]:
    for start in range(0, len(source), _CHUNK):
        yield _looks(source, start)


def _in_processes(source: Source) -> Iterator[list[Seen]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ProcessPoolExecutor(cores, initializer=_begin, initargs=(source,))
    try:
        yield from pool.map(_look_at, range(0, len(source), _CHUNK))
    except BrokenProcessPool as error:
        what = "a process that decoded images was ended, perhaps for want of memory"
        raise DataError(what, where=source.name, fix="free memory, or take very large images out") from error
    finally:
        pool.shutdown(cancel_futures=True)  # waits: a process that exits while its pool still works waits for ever


_source: list[Source] = []
"""In a worker: what it looks at."""


def _begin(source: Source) -> None:
    as_worker()
    _source[:] = [source]


def _look_at(start: int) -> list[Seen]:
    return _looks(_source[0], start)


def _looks(source: Source, start: int) -> list[Seen]:
    return [_look(source, index) for index in range(start, min(start + _CHUNK, len(source)))]


def _look(source: Source, index: int) -> Seen:
    content = ""
    try:
        content = source.content(index)
        picture = source.picture(index, least=LEAST_SIDE)
    except DamagedImageError as error:
        return Seen(content, damage=error.what)
    small = thumbnail(picture.pixels)
    flat = ("flat",) if is_flat(small) else ()
    return Seen(content, picture.size, (*picture.odd, *flat), small, dhash(picture.pixels))
