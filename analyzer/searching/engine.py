"""Search: every variant of a space where the time allows, a stated sample of it where not; on all cores.

Memory is bounded: a chunk of columns at a time in each process, and what has been found. The share that is seen of a
space too large for the time is drawn the same way from every structure (block, stages, kind of growth): a walk
i -> (start + i x stride) mod size with a stride coprime to the size, which visits no variant twice; start and stride
come from the seed.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.architecture.network import Columns
from analyzer.errors import UsageError
from analyzer.processes import as_worker
from analyzer.reading.vector import CHUNK
from analyzer.searching.query import COLUMN, FIGURES, Finds, Ints, Query, Standing, figures_of, judge, merged
from analyzer.space.space import Space, SpacePart

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

TASK = 4 * CHUNK
"""Variants a task: a tenth of a second or so, so that progress is smooth and Ctrl-C is quick."""
IN_PROCESS = 4 * TASK
"""Spaces up to this are searched in this process: starting others takes longer."""
CALIBRATED = 8
PROCESS_BYTES = 256 * 2**20
"""What a process that counts takes, at most (measured; a network as deep as DenseNet121, replayed for its peaks)."""
FOUND_BYTES = 4 * 8 * (len(FIGURES) + 2)
"""What a variant on the front takes: its figures and its place, and copies of both while fronts are merged."""
MERGE = 20_000
"""Points that are found before they are merged into the running front; more when the front itself is larger."""


@dataclass(frozen=True)
class Task:
    """Steps `start` to `start + count` of the walk over a part; a stride of 1 from 0 is plain counting."""

    part: int
    start: int
    count: int
    walk_start: int = 0
    stride: int = 1


@dataclass(frozen=True)
class Progress:
    """Variants done of those planned, and seconds so far."""

    done: int
    planned: int
    seconds: float

    @property
    def rate(self) -> float:
        """Variants a second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def left_s(self) -> float:
        """Seconds until the plan is done, at this rate."""
        return (self.planned - self.done) / max(self.rate, 1e-9)


@dataclass(frozen=True)
class Result:
    """What a search found. `share` of the space was seen: 1 is all of it, exactly."""

    space: Space
    query: Query
    finds: Finds
    seconds: float
    planned: int
    seed: int
    interrupted: bool = False

    @property
    def share(self) -> float:
        """The share of the space that was seen."""
        return self.finds.seen / self.space.size

    @property
    def exhaustive(self) -> bool:
        """Whether every variant was seen, so that the front is the front."""
        return self.finds.seen == self.space.size


def search(
    space: Space,
    query: Query,
    *,
    seconds: float = 60.0,
    jobs: int | None = None,
    seed: int = 0,
    max_memory: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Searches a space. On Ctrl-C what was found so far comes back, marked `interrupted`.

    `max_memory` bounds the bytes of all processes together: fewer of them are started. Raises UsageError where no
    variant meets the constraints, naming the one that excludes all, or the nearest miss; and where the front outgrows
    the memory.
    """
    begin = time.monotonic()
    jobs, room = _within(max_memory, jobs or os.cpu_count() or 1)
    tasks, planned = plan(space, query, seconds, jobs, seed)
    done: list[Finds] = []
    interrupted = False
    running = Finds(met=np.zeros(len(query.constraints), np.int64))
    try:
        for finds in _run(space, query, tasks, jobs if planned > IN_PROCESS else 1):
            done.append(finds)
            _require_room(room, sum(len(f.points) for f in (running, *done)))
            if sum(len(f.points) for f in done) > max(MERGE, len(running.points)):
                running = merged(query, [running, *done])
                done = []
            seen = running.seen + sum(f.seen for f in done)
            on_progress(Progress(seen, planned, time.monotonic() - begin))
    except KeyboardInterrupt:
        interrupted = True
    finds = merged(query, [running, *done])
    result = Result(space, query, finds, time.monotonic() - begin, planned, seed, interrupted)
    if not finds.fitting and not interrupted:
        raise nothing_fits(result)
    return result


def _within(max_memory: int | None, jobs: int) -> tuple[int, int | None]:
    """How many processes a memory has room for, and the points of a front beside them (None: any number)."""
    if max_memory is None:
        return jobs, None
    if max_memory < 2 * PROCESS_BYTES:
        what = f"{max_memory:,} bytes are too few to search in"
        raise UsageError(what, where="--max-memory", fix=f"give {units.mib(2 * PROCESS_BYTES)} or more")
    # One more than count: the one that gathers what they find.
    jobs = min(jobs, max_memory // PROCESS_BYTES - 1)
    return jobs, (max_memory - (jobs + 1) * PROCESS_BYTES + PROCESS_BYTES // 2) // FOUND_BYTES


def _require_room(room: int | None, points: int) -> None:
    if room is not None and points > room:
        what = f"{points:,} variants stand on fronts, more than there is memory for"
        raise UsageError(what, where="--max-memory", fix="raise it, or use fewer objectives, or a constraint")


def plan(space: Space, query: Query, seconds: float, jobs: int, seed: int) -> tuple[Iterator[Task], int]:
    """The tasks, and how many variants they visit: all where that fits in the time, else the share that does."""
    need = _estimated_seconds(space, query) / jobs if space.size > IN_PROCESS else 0.0
    if need <= seconds:
        return _tasks(space, [(i, part.size, 0, 1) for i, part in enumerate(space.parts)]), space.size
    share = seconds / need
    walks = []
    for i, part in enumerate(space.parts):
        chance = random.Random(f"{seed}/{i}")
        stride = chance.randrange(1, part.size + 1)
        while math.gcd(stride, part.size) != 1:
            stride = chance.randrange(1, part.size + 1)
        walks.append((i, max(1, min(part.size, int(share * part.size))), chance.randrange(part.size), stride))
    return _tasks(space, walks), sum(count for _, count, _, _ in walks)


def _tasks(space: Space, walks: list[tuple[int, int, int, int]]) -> Iterator[Task]:
    for part, count, walk_start, stride in walks:
        size = space.parts[part].even(TASK) if stride == 1 else TASK
        for start in range(0, count, size):
            yield Task(part, start, min(size, count - start), walk_start, stride)


def _estimated_seconds(space: Space, query: Query) -> float:
    """Seconds for the whole space on one core: a chunk of each of some parts, timed."""
    step = max(1, len(space.parts) // CALIBRATED)
    rates = []
    for part_index in range(0, len(space.parts), step):
        count = min(space.parts[part_index].size, CHUNK)
        start = time.perf_counter()
        run_task(space, query, Task(part_index, 0, count))
        rates.append((time.perf_counter() - start) / count)
    return space.size * sum(rates) / len(rates)


def run_task(space: Space, query: Query, task: Task, standing: Standing | None = None) -> Finds:
    """Counts and judges a task's variants, chunk by chunk; what `standing` dominates is not found, and it learns."""
    standing = standing or Standing(query)
    finds = []
    for columns, indices in _chunks(space.parts[task.part], task):
        finds.append(judge(standing, query.count(columns), task.part, indices))
    found = merged(query, finds)
    standing.learn(found)
    return found


def _chunks(part: SpacePart, task: Task) -> Iterator[tuple[Columns, Ints]]:
    """A task's variants as columns with their indices: counting gives combinations, a walk one after the other."""
    end = task.start + task.count
    if task.stride != 1 or task.walk_start:
        for start in range(task.start, end, CHUNK):
            indices = _walk(start, min(CHUNK, end - start), task.walk_start, task.stride, part.size)
            yield part.columns(indices), indices
        return
    start = task.start
    while start < end:
        columns, count = part.box(start, min(CHUNK, end - start))
        yield columns, np.arange(start, start + count)
        start += count


def _walk(start: int, count: int, walk_start: int, stride: int, size: int) -> Ints:
    """Indices of steps start..start+count of the walk; exact, as both summands stay under 2^62."""
    first = (walk_start + start * stride) % size
    if stride == 1:
        offsets = np.arange(count, dtype=np.int64)
    else:
        offsets = np.array([i * stride % size for i in range(count)], np.int64)
    return (first + offsets) % size


def _run(space: Space, query: Query, tasks: Iterator[Task], jobs: int) -> Iterator[Finds]:
    if jobs == 1:
        standing = Standing(query)
        for task in tasks:
            yield run_task(space, query, task, standing)
        return
    with ProcessPoolExecutor(jobs, initializer=_start_worker, initargs=(space, query)) as pool:
        waiting: set[Future[Finds]] = set()
        try:
            for task in tasks:
                waiting.add(pool.submit(_work, task))
                if len(waiting) >= 3 * jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker: dict[str, tuple[Space, Query, Standing]] = {}


def _start_worker(space: Space, query: Query) -> None:
    as_worker()
    _worker["job"] = (space, query, Standing(query))


def _work(task: Task) -> Finds:
    space, query, standing = _worker["job"]
    return run_task(space, query, task, standing)


def nothing_fits(result: Result) -> UsageError:
    """Why no variant meets the constraints: the one that excludes all, or else the nearest miss."""
    query, finds = result.query, result.finds
    seen = "variants" if result.exhaustive else "variants seen"
    if not finds.valid:
        return UsageError(f"none of the {finds.seen:,} {seen} makes a network", where="space", fix="use a larger image")
    for constraint, met in zip(query.constraints, finds.met, strict=True):
        if not met:
            return UsageError(
                f"{constraint.source} alone excludes all {finds.valid:,} {seen}", where="search", fix=_nearest(result)
            )
    each = ", ".join(f"{c.source} {int(met):,}" for c, met in zip(query.constraints, finds.met, strict=True))
    return UsageError(
        f"no one of the {finds.valid:,} {seen} meets all constraints together; alone each leaves: {each}",
        where="search",
        fix=_nearest(result),
    )


def _nearest(result: Result) -> str:
    excess, part, index = result.finds.nearest
    if part < 0:
        return "relax a constraint"
    variant = result.space.parts[part].variant(index)
    indices = np.array([index], np.int64)
    query = result.query
    counts = query.count(result.space.parts[part].columns(indices))
    values = figures_of(counts, np.zeros(1, np.int64))[0]
    used = dict.fromkeys(c.figure for c in result.query.constraints)
    text = ", ".join(f"{figure} {int(values[COLUMN[figure]]):,}" for figure in used)
    return f"relax it: the nearest miss is {variant.name} ({text}), {100 * excess:.1f} % beyond"
