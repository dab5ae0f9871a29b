"""Runs on several workers are the runs of one process, whatever is lost meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from commands import ROOT
from trainings import TINY, bits, trained

from analyzer import Variant
from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.files import lock_is_held
from analyzer.targets.resolving import FamilyTarget
from analyzer.training import execution, workers
from analyzer.training.planning import TrainPlan, TrainWatch
from analyzer.training.recipe import Recipe

OTHER = Variant(block="dense", block_config=(1, 1), growth=4, bn_size=2, init=4, image=16, stem="small")


def plan_of(data: Path, out: Path, **said: object) -> TrainPlan:
    both = tuple(FamilyTarget(variant) for variant in (TINY, OTHER))
    usual = {"targets": both, "recipe": Recipe(epochs=2, batch=8), "seeds": (0, 1), "threads": 1}
    return TrainPlan(data=data, out=out, **{**usual, **said})


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the four runs come to in one process."""
    out = tmp_path_factory.mktemp("alone")
    execution.execute(plan_of(data, out), TrainWatch())
    return bits(out)


@pytest.mark.slow
def test_two_processes_train_what_one_does(data: Path, alone: dict, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    began: list[str] = []
    watch = TrainWatch(
        epoch=lambda config, epoch: told.append((config.run, epoch.epoch)),
        began=lambda config, done: began.append(config.run),
    )
    done = execution.execute(plan_of(data, tmp_path, where=Workplace(jobs=2), threads=None), watch)
    assert bits(tmp_path) == alone
    names = [run.config.run for run in done.runs]
    assert [name[-5:] for name in names] == ["seed0", "seed0", "seed1", "seed1"]
    assert sorted(began) == sorted(names)
    assert sorted(told) == sorted((name, epoch) for name in names for epoch in (1, 2))
    assert {run.config.machine.threads for run in done.runs} == {1}
    assert not list(tmp_path.glob("runs/*/results.db"))
    told.clear()
    again = execution.execute(plan_of(data, tmp_path, where=Workplace(jobs=2), threads=None), watch)
    assert [run.config.run for run in again.runs] == names
    assert (told, [len(run.epochs) for run in again.runs]) == ([], [2] * 4)


@pytest.mark.slow
def test_ctrl_c_saves_every_worker(data: Path, alone: dict, tmp_path: Path) -> None:
    """The first finished epoch of any run ends them all; one process takes them to their end."""
    begun: list[str] = []

    def interrupt(config: object, epoch: object) -> None:
        if not begun:
            begun.append("")
            signal.raise_signal(signal.SIGINT)

    here = plan_of(data, tmp_path, recipe=Recipe(epochs=2, batch=8), where=Workplace(jobs=2))
    done = execution.execute(here, TrainWatch(epoch=interrupt))
    assert done.interrupted
    execution.execute(plan_of(data, tmp_path), TrainWatch())
    assert bits(tmp_path) == alone


@pytest.mark.slow
def test_what_can_t_be_trained_is_told_when_the_rest_is(data: Path, alone: dict, tmp_path: Path) -> None:
    trained(data, tmp_path, OTHER, seeds=(0,), lr=0.5, epochs=1)
    with pytest.raises(UsageError, match=r"was begun differently: .*lr 0.5 -> 0.0001"):
        execution.execute(plan_of(data, tmp_path, where=Workplace(jobs=2)), TrainWatch())
    found = bits(tmp_path)
    assert {name: value for name, value in found.items() if OTHER.name[:8] not in name or "seed1" in name} == {
        name: value for name, value in alone.items() if OTHER.name[:8] not in name or "seed1" in name
    }


def test_what_no_process_can_be_handed_is_told_before(tmp_path: Path) -> None:
    class Mine:
        """A dataset of this function's own."""

        classes = ("a", "b")

        def __len__(self) -> int:
            return 24

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.full((16, 16, 3), index, np.uint8), index % 2

    with pytest.raises(UsageError, match="can't be handed to another process"):
        trained(Mine(), tmp_path, TINY, seeds=(0, 1), jobs=2)


def test_a_worker_that_sees_another_folder_says_so(data: Path, tmp_path: Path) -> None:
    task = workers.RunTask(plan_of(data, tmp_path / "elsewhere"), "run")
    with pytest.raises(UsageError, match="storage that every node has"):
        execution.run_alone(task)


# -- lost ------------------------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "analyzer", "train", TINY.name, OTHER.name, "--image", "16", "--seeds", "0,1"]


@pytest.mark.slow
def test_a_killed_command_leaves_workers_that_end_and_runs_that_go_on(data: Path, alone: dict, tmp_path: Path) -> None:
    command = [*COMMAND, "--data", data, "--out", tmp_path, "--epochs", "2", "--batch", "8", "--jobs", "2"]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 1 of 2" in line:
            break
    process.kill()
    process.wait()
    process.stderr.close()
    _until(lambda: not any(map(lock_is_held, tmp_path.glob("runs/*/.training.lock"))))
    execution.execute(plan_of(data, tmp_path), TrainWatch())
    assert bits(tmp_path) == alone


def _until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not there():
        assert time.monotonic() < end, "a worker outlives the command"
        time.sleep(0.05)


def _works(node: Any) -> bool:
    """Whether a Ray node does a task now: its processes are named by what they do."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    titles = [process.cmdline()[0] for process in raylet.children() if process.cmdline()]
    return any(title.startswith("ray::") and not title.endswith(("IDLE", "Agent")) for title in titles)


@pytest.mark.slow
def test_a_lost_node_s_run_goes_on_elsewhere_to_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two nodes with room for one run each the one that has it dies, when an epoch is kept."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Local

    soon = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nodes = Local(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": soon})
    done_by_then: list[int] = []
    killed: list[object] = []

    def kill(config: object, epoch: object) -> None:
        if not killed:
            killed.extend(filter(_works, nodes.worker_nodes))
            for node in killed:
                nodes.remove_node(node, allow_graceful=False)

    watch = TrainWatch(began=lambda config, done: done_by_then.append(done), epoch=kill)
    try:
        for epochs in (150, 1500, 15000):  # where the run was over before its node was, a longer one
            long = {"recipe": Recipe(epochs=epochs, batch=12), "seeds": (0,), "targets": (FamilyTarget(TINY),)}
            out = tmp_path / f"ray{epochs}"
            there = Workplace("ray", address=nodes.address)
            while len(nodes.worker_nodes) < 2:
                nodes.add_node(num_cpus=1)
            done_by_then.clear()
            killed.clear()
            execution.execute(plan_of(data, out, where=there, device="cpu", **long), watch)
            if len(done_by_then) > 1:
                break
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert done_by_then[0] == 0
    assert max(done_by_then[1:]) > 0, "it began anew"
    execution.execute(plan_of(data, tmp_path / "alone", **long), TrainWatch())
    assert bits(out) == bits(tmp_path / "alone")
