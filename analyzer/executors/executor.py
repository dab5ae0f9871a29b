"""Where a sweep's work runs: in this process, in several of this machine, on a cluster (see cluster.py)."""

from __future__ import annotations

import itertools
import multiprocessing
import platform
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from analyzer.errors import AnalyzerError, UsageError
from analyzer.processes import as_worker

T = TypeVar("T")
R = TypeVar("R")
FEW = 4
"""Tasks that are not worth a pool of processes."""


@dataclass(frozen=True)
class Done(Generic[R]):
    """A task that is finished: its place among the tasks, what came out, and on which host.

    An AnalyzerError that the task raised is what came out.
    """

    index: int
    result: R | AnalyzerError
    host: str


@dataclass(frozen=True)
class Device:
    """A device to measure on: its hardware's name, and its type (`cpu`, `cuda`)."""

    name: str
    type: str


class Executor(Protocol):
    """Runs tasks and hands each result on when it is there: one for every task, whatever workers are lost meanwhile.

    Functions are importable ones. Tasks are drawn only when there is a place for them.
    """

    def compute(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """`function(task)` on cores, several at once."""

    def measure(self, function: Callable[[T, str], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """`function(task, device)` on devices, never two at once on one."""

    def devices(self) -> tuple[Device, ...]:
        """What `measure` runs on, an entry a device."""

    def close(self) -> None:
        """Lets the workers go."""


class Processes:
    """This machine: `jobs` processes for computing (1: none but this one), a thread for each device's measuring.

    With `long` tasks even one is worth a process, which starts anew: a copy of one that has run torch may not run it.
    """

    def __init__(self, jobs: int = 1, places: tuple[str, ...] = ("cpu",), *, long: bool = False) -> None:
        self.jobs, self.places, self.long = jobs, places, long

    def compute(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """In the tasks' order; a few short ones in this process, as starting others takes longer."""
        host, drawn = platform.node(), iter(tasks)
        first = list(itertools.islice(drawn, FEW + 1))
        if self.jobs == 1 or (len(first) <= FEW and not self.long):
            for index, task in enumerate(itertools.chain(first, drawn)):
                yield Done(index, attempt(function, task), host)
            return
        start = multiprocessing.get_context("spawn") if self.long else None
        with ProcessPoolExecutor(self.jobs, mp_context=start, initializer=as_worker) as pool:
            for index, result in enumerate(_in_order(pool, self.jobs, function, itertools.chain(first, drawn))):
                yield Done(index, result, host)

    def measure(self, function: Callable[[T, str], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """One device: in this thread. Several: a thread for each task that runs; its measuring is a process anyway."""
        host = platform.node()
        if len(self.places) == 1:
            for index, task in enumerate(tasks):
                yield Done(index, attempt(function, task, self.places[0]), host)
            return
        finished: queue.SimpleQueue[tuple[str, int, R | AnalyzerError | BaseException]] = queue.SimpleQueue()

        def run(index: int, task: T, place: str) -> None:
            try:
                finished.put((place, index, attempt(function, task, place)))
            except BaseException as error:  # a defect: raised where the results are read
                finished.put((place, index, error))

        drawn, free, running = enumerate(tasks), list(self.places), 0
        while True:
            for index, task in itertools.islice(drawn, len(free)):
                threading.Thread(target=run, args=(index, task, free.pop(0)), daemon=True).start()
                running += 1
            if not running:
                return
            place, index, result = finished.get()
            running -= 1
            free.append(place)
            if isinstance(result, BaseException) and not isinstance(result, AnalyzerError):
                raise result
            yield Done(index, result, host)

    def devices(self) -> tuple[Device, ...]:
        """As torch names them."""
        return tuple(device_at(place) for place in self.places)

    def close(self) -> None:
        """Nothing is left running."""


def _in_order(
    pool: ProcessPoolExecutor, jobs: int, function: Callable[[T], R], tasks: Iterator[T]
) -> Iterator[R | AnalyzerError]:
    """Results in the tasks' order, a few tasks ahead of what is read."""
    ahead: list[Future[R | AnalyzerError]] = []
    try:
        for task in tasks:
            ahead.append(pool.submit(attempt, function, task))
            if len(ahead) > 2 * jobs:
                yield ahead.pop(0).result()
        while ahead:
            yield ahead.pop(0).result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def result_of(done: Done[R]) -> R:
    """What came out; raises what is an AnalyzerError."""
    if isinstance(done.result, AnalyzerError):
        raise done.result
    return done.result


def attempt(function: Callable[..., R], *args: object) -> R | AnalyzerError:
    """What comes out, be it an AnalyzerError."""
    try:
        return function(*args)
    except AnalyzerError as error:
        return error


def device_at(place: str) -> Device:
    """The device of `cpu`, `cuda:1`. Raises UsageError where it isn't there."""
    from analyzer.measuring.environment import environment, pick_device

    device = pick_device(place)
    return Device(environment(device).device_name, device.type)


def places_of(text: str) -> tuple[str, ...]:
    """The devices that `auto`, `cuda`, `cuda:1`, `cpu` name here: `auto` and `cuda` every GPU there is.

    Raises UsageError where there is none.
    """
    from analyzer.measuring.environment import pick_device

    device = pick_device(text)
    if device.type != "cuda" or device.index is not None:
        return (str(device),)
    import torch

    return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))


def one_kind(devices: Sequence[Device]) -> Device:
    """The device that all of them are. Raises UsageError where they are unlike."""
    kinds = dict.fromkeys(devices)
    if len(kinds) > 1:
        names = " and ".join(device.name for device in kinds)
        raise UsageError(f"times on {names} don't compare", where="--executor ray", fix="search on nodes of one kind")
    return next(iter(kinds))
