"""A sweep's work on a Ray cluster: on many machines, of which any may be lost. Ray is an extra."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from analyzer.distribution import NAME, installing
from analyzer.errors import MeasureError, UsageError
from analyzer.executors.executor import Device, Done, attempt, device_at, result_of
from analyzer.measuring.environment import package_version

T = TypeVar("T")
R = TypeVar("R")

TRIES = 5
"""Runs of a task whose worker is lost each time, before it is given up."""
PATIENCE_S = 120.0
"""Seconds to wait for a node where none is left, before the cluster is given up."""
NOT_IMPORTED = ("No module named", "cannot import name", "failed to import")
"""How Ray tells, in errors of several kinds, that a worker lacks something."""
KNOCK_S = 5.0
"""Seconds for a cluster's address to answer."""
LOOK_S = 1.0
"""How often the nodes are looked at: new ones get work too."""
SUSPECT_S = 20.0
"""Seconds without new work for a node that lost some: Ray takes that long to notice that a node is gone."""
START = "on the cluster's head use --address auto (started with `ray start --head`), elsewhere HOST:6379"
SAME = f"install the same {NAME}[ray] on every node"


@dataclass(frozen=True)
class ClusterSlot:
    """Room for one task on a node: Ray's id of it, which of its rooms, and what is asked of Ray."""

    node: str
    number: int
    cpus: float
    gpus: int


class Cluster:
    """A Ray cluster, with one task at a time on a core, on a GPU, or, measuring on CPUs, on a whole node.

    `device` is `auto` (GPUs where the cluster has any), `cpu` or `cuda`. Without an address: RAY_ADDRESS, the cluster
    that runs here, or a new one of this machine. Raises UsageError where Ray isn't installed, doesn't answer, or has no
    such device.
    """

    def __init__(self, address: str | None = None, device: str = "auto") -> None:
        self.ray = _ray()
        self.ours = not self.ray.is_initialized()
        if self.ours:
            self._connect(address)
        self.looked, self.nodes = 0.0, list[dict[str, Any]]()
        self.suspect_until: dict[str, float] = {}
        try:
            self.on_gpus = self._on_gpus(device)
            self._remote = self.ray.remote(max_retries=0)(_work)
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str | None) -> None:
        try:
            _knock(address or os.environ.get("RAY_ADDRESS", ""))
            self.ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (RuntimeError, ValueError, ImportError, OSError) as error:
            what = str(error).strip().splitlines() or ["no answer"]
            raise UsageError(
                f"no Ray cluster answers: {what[0][:200]}", where=f"--address {address or 'auto'}", fix=START
            ) from error

    def _on_gpus(self, device: str) -> bool:
        there = any(node["Resources"].get("GPU") for node in self._alive())
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(
                f"{device} is one machine's device", where="--device", fix="use auto, cpu or cuda with --executor ray"
            )
        if device == "cuda" and not there:
            raise UsageError("the cluster has no GPU", where="--device", fix="use --device cpu")
        return there and device != "cpu"

    def compute(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """In the order in which they finish."""
        return self._run(lambda task: (function, task), tasks, self._cores)

    def measure(self, function: Callable[[T, str], R], tasks: Iterable[T]) -> Iterator[Done[R]]:
        """In the order in which they finish. Ray shows a task only its own GPU."""
        place = "cuda" if self.on_gpus else "cpu"
        return self._run(lambda task: (function, task, place), tasks, self._devices)

    def devices(self) -> tuple[Device, ...]:
        """Each as its node names it."""
        place = "cuda" if self.on_gpus else "cpu"
        done = self._run(lambda _: (device_at, place), self._devices(), self._devices)
        return tuple(result_of(one) for one in done)

    def close(self) -> None:
        """Leaves the cluster, unless the caller had entered it before."""
        if self.ours:
            self.ray.shutdown()

    # -- where there is room -----------------------------------------------------------------------------------

    def _alive(self) -> list[dict[str, Any]]:
        """Nodes with cores; those that just lost work only where there are no others."""
        now = time.monotonic()
        if now - self.looked > LOOK_S:
            self.nodes = [node for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
            self.looked = now
        return [node for node in self.nodes if self.suspect_until.get(node["NodeID"], 0) < now] or self.nodes

    def _cores(self) -> list[ClusterSlot]:
        return [
            ClusterSlot(node["NodeID"], i, 1, 0) for node in self._alive() for i in range(int(node["Resources"]["CPU"]))
        ]

    def _devices(self) -> list[ClusterSlot]:
        """A place a GPU; or a place a node, which asks for all its cores, so that nothing of ours runs beside it."""
        nodes = self._alive()
        if not self.on_gpus:
            return [ClusterSlot(node["NodeID"], 0, node["Resources"]["CPU"], 0) for node in nodes]
        return [
            ClusterSlot(node["NodeID"], i, 1, 1) for node in nodes for i in range(int(node["Resources"].get("GPU", 0)))
        ]

    def _wait_for(self, places: Callable[[], list[ClusterSlot]]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not places():
            if time.monotonic() > end:
                raise UsageError(
                    "the cluster has no node left to run at",
                    where="--executor ray",
                    fix="start nodes and run the same command again: what is finished is kept",
                )
            time.sleep(LOOK_S)

    # -- running -----------------------------------------------------------------------------------------------

    def _run(
        self, call: Callable[[T], tuple[Any, ...]], tasks: Iterable[T], places: Callable[[], list[ClusterSlot]]
    ) -> Iterator[Done[Any]]:
        backlog = _Backlog(tasks)
        running: dict[Any, tuple[int, T, ClusterSlot]] = {}
        while True:
            taken = {place for _, _, place in running.values()}
            for place in (place for place in places() if place not in taken):
                item = backlog.take()
                if item is None:
                    break
                running[self._submit(place, call(item[1]))] = (*item, place)
            if not running:
                if (item := backlog.take()) is None:
                    return
                backlog.put_back(*item)
                self._wait_for(places)
                continue
            for reference in self.ray.wait(list(running), num_returns=1, timeout=LOOK_S)[0]:
                index, task, place = running.pop(reference)
                done = self._result(index, reference) or self._lost(index, task, place, backlog)
                if done is not None:
                    yield done

    def _submit(self, place: ClusterSlot, call: tuple[Any, ...]) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(place.node, soft=False)
        options = self._remote.options(num_cpus=place.cpus, num_gpus=place.gpus, scheduling_strategy=where)
        return options.remote(package_version(), *call)

    def _result(self, index: int, reference: Any) -> Done[Any] | None:
        """What a task gave; None where its worker, or its node, is lost. A defect of the task is raised here."""
        from ray.exceptions import RayError, RayTaskError

        try:
            host, result = self.ray.get(reference)
        except RayTaskError as error:
            missing = [line for line in str(error).splitlines() if any(words in line for words in NOT_IMPORTED)]
            if missing:
                raise UsageError(
                    f"a worker can't import what it needs: {missing[-1].strip()}",
                    where="--executor ray",
                    fix=SAME,
                ) from error
            raise
        except RayError:
            return None
        return Done(index, result, host)

    def _lost(self, index: int, task: T, place: ClusterSlot, backlog: _Backlog[T]) -> Done[Any] | None:
        """Puts a task back to be run again elsewhere; what is said of it where that was done often enough."""
        self.suspect_until[place.node] = time.monotonic() + SUSPECT_S
        self.looked = 0.0
        if backlog.put_back(index, task, lost=True) < TRIES:
            return None
        what = f"its worker was lost {TRIES} times"
        return Done(index, MeasureError(what, where="--executor ray", fix="see Ray's log of the node"), "")


class _Backlog(Generic[T]):
    """Tasks with their places among all: first those that came back, then new ones, drawn when they are taken."""

    def __init__(self, tasks: Iterable[T]) -> None:
        self._new = enumerate(tasks)
        self._back = deque[tuple[int, T]]()
        self._losses = Counter[int]()

    def take(self) -> tuple[int, T] | None:
        return self._back.popleft() if self._back else next(self._new, None)

    def put_back(self, index: int, task: T, *, lost: bool = False) -> int:
        """Unless it was lost too often; says how often it was."""
        self._losses[index] += lost
        if self._losses[index] < TRIES:
            self._back.append((index, task))
        return self._losses[index]


def _knock(address: str) -> None:
    """OSError where a host's port doesn't answer within seconds; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in address:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("needs Ray, which is not installed", where="--executor ray", fix=installing("ray")) from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster started here tells nobody of it
    return ray


def _work(version: str, function: Callable[..., Any], *args: Any) -> tuple[str, Any]:
    """On a worker: the host's name, and what comes out."""
    os.environ.pop("OMP_NUM_THREADS", None)  # Ray's; torch chooses the threads as it does without Ray
    host, here = platform.node(), package_version()
    if here != version:
        what = f"{host} has {NAME} {here}, not {version}"
        return host, UsageError(what, where="--executor ray", fix=SAME)
    return host, attempt(function, *args)
