"""Executors on this machine: every task once, drawn late, never two measurements on one device."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from fakes import measurement

import analyzer
from analyzer.errors import MeasureError, UsageError
from analyzer.executors import executor as executors
from analyzer.executors.executor import Device, Processes, places_of
from analyzer.executors.workplace import executor_of
from analyzer.measurements import Measurement
from analyzer.measuring import environment
from analyzer.records import devices_of
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.store import MemoryStore


def square(task: int) -> tuple[int, int]:
    if task == 7:
        raise MeasureError("seven")
    return task * task, os.getpid()


@pytest.mark.parametrize("jobs", [1, 3])
def test_computing_gives_every_task_in_order(jobs: int) -> None:
    done = list(Processes(jobs).compute(square, range(20)))
    assert [one.index for one in done] == list(range(20))
    assert str(done.pop(7).result) == "seven"
    assert [one.result[0] for one in done] == [i * i for i in range(20) if i != 7]
    assert (os.getpid() in {one.result[1] for one in done}) == (jobs == 1)


def test_a_few_tasks_start_no_process() -> None:
    done = list(Processes(4).compute(square, range(executors.FEW)))
    assert {one.result[1] for one in done} == {os.getpid()}


def test_tasks_are_drawn_only_a_little_ahead() -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for i in range(100, 1000):
            drawn.append(i)
            yield i

    results = Processes(2).compute(square, tasks())
    next(results)
    assert len(drawn) < 20
    results.close()


def test_devices_work_at_once_and_never_twice() -> None:
    at_once: dict[str, int] = {"cuda:0": 0, "cuda:1": 0, "cuda:2": 0}
    lock = threading.Lock()
    together = threading.Barrier(3)

    def measure(task: int, device: str) -> tuple[int, str]:
        with lock:
            at_once[device] += 1
            assert at_once[device] == 1
        if task < 3:
            together.wait(300)  # broken, an error, where fewer than three are at work
        with lock:
            at_once[device] -= 1
        if task == 11:
            raise MeasureError("does not fit")
        return task, device

    done = list(Processes(places=tuple(at_once)).measure(measure, range(30)))
    assert sorted(one.index for one in done) == list(range(30))
    failed = [one for one in done if isinstance(one.result, MeasureError)]
    assert [one.index for one in failed] == [11]
    assert all(one.result[0] == one.index for one in done if one not in failed)
    assert {one.result[1] for one in done if one not in failed} == set(at_once)


def test_a_defect_on_a_device_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Processes(places=("cuda:0", "cuda:1")).measure(lambda task, device: 1 // task, range(3)))


def test_devices_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "device_at", lambda place: Device("Abacus", "cuda"))
    plan = run.plan(Grid(growth=[4, 8, 12, 16], block="dense"), measure="all", seconds=12)
    store = MemoryStore()
    rows = list(run.count(plan, store))[1:]
    given: list[float] = []

    def one(timing: run.Timing, device: str) -> Measurement:
        given.append(timing.seconds)
        return measurement(1.0, timing.baseline.name)

    two = Processes(places=("cuda:0", "cuda:1"))
    list(run.measure(plan, rows, store, two, measure_one=one, clock=lambda: 0.0))
    assert given == [12 * 2 / 4, 12 * 2 / 3, 12, 12]


def test_rows_of_unlike_devices_stand_together() -> None:
    plan = run.plan(Grid(block="dense", growth=[4, 8, 12, 16, 20], blocks=[(1, 1)]), measure="all")
    store = MemoryStore()
    rows = list(run.count(plan, store))
    assert run.rows_of(plan, store) == rows

    def one(timing: run.Timing, device: str) -> Measurement:
        name = "Slate" if timing.variant.growth in (4, 12) else "Abacus"
        return measurement(1.0, timing.baseline.name, name)

    list(run.measure(plan, rows[1:-1], store, Processes(), measure_one=one))
    found = run.rows_of(plan, store)
    assert [row.target.name for row in found] == [rows[i].target.name for i in (0, 5, 1, 3, 2, 4)]
    assert devices_of(found) == {"Slate": 2, "Abacus": 2}


def test_auto_is_every_gpu_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert places_of("auto") == places_of("cuda") == ("cuda:0", "cuda:1", "cuda:2")
    assert places_of("cuda:1") == ("cuda:1",)
    assert places_of("cpu") == ("cpu",)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert places_of("auto") == ("cpu",)
    with pytest.raises(UsageError):
        places_of("cuda")


def test_an_executor_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executor_of(jobs=3).jobs == 3
    assert executor_of(device="cpu").devices() == (Device(environment.cpu_name(), "cpu"),)
    with pytest.raises(UsageError, match="did you mean 'ray'"):
        executor_of("rai")
    with pytest.raises(UsageError, match="a Ray cluster's"):
        executor_of(address="auto")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r'pip install "modelbudget\[ray\]"'):
        executor_of("ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "no.such.host.invalid:6379"])
def test_a_cluster_that_does_not_answer(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="no Ray cluster answers"):
        executor_of("ray", address=address)


def test_from_python_two_processes_count_what_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCK", 40)
    grid = Grid(growth=list(range(4, 24)), compression=[i / 20 for i in range(1, 21)], block="dense")
    assert len(grid) > executors.FEW * run.BLOCK  # worth a pool
    one, two = (analyzer.sweep(grid, jobs=jobs).records for jobs in (1, 2))
    assert one == two
