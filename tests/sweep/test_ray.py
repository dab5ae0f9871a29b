"""On a Ray cluster of three nodes, of which one dies: the same rows as here, none lost, none doubled."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes import LOG, node, note, noted, slowly

from analyzer.errors import AnalyzerError, UsageError
from analyzer.executors import cluster as ray_cluster
from analyzer.executors.cluster import TRIES, Cluster
from analyzer.executors.executor import Executor, Processes
from analyzer.records import Record
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.database import ALL, Database
from analyzer.sweeping.results_store import open_store
from analyzer.sweeping.store import read_jsonl

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SOON = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
GRID = Grid(block=["dense"], blocks=[(1, 1)], growth=list(range(4, 14)), image=32, compression=[0.25, 0.5])


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes of one core; each test that kills one adds it. What workers need to know is in their environment."""
    from ray.cluster_utils import Cluster as Local

    patch = pytest.MonkeyPatch()
    patch.setenv(LOG, str(tmp_path_factory.mktemp("ray") / "log"))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(Path(__file__).parent)]))
    nodes = Local(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": SOON})
    nodes.add_node(num_cpus=1)
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    patch.undo()


def kill_at_work(local: Any, victim: Any) -> None:
    """Kills a node, not gracefully, in the middle of a task that it began after some that it ended."""

    def count(kind: str) -> int:
        return sum(noted_kind == kind and where == victim.node_id for noted_kind, where, _ in noted())

    wait_until(lambda: count("end") >= 2)
    note("doomed", victim.node_id, "-")
    wait_until(lambda: idle(lambda: count("end")) and count("begin") > count("end"))
    note("killed", victim.node_id, "-")
    local.remove_node(victim, allow_graceful=False)


def wait_until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not there() and time.monotonic() < end:
        time.sleep(0.05)


def idle(value: Callable[[], int]) -> bool:
    """Whether it stays the same for longer than a task takes."""
    before = value()
    time.sleep(1.5)
    return value() == before


def swept(folder: Path, executor: Executor) -> tuple[list[Record], run.SweepPlan]:
    plan = run.plan(GRID, measure="all", seconds=600)
    with closing(open_store(folder)) as store, closing(executor):
        rows = list(run.count(plan, store, executor=executor))
        list(run.measure(plan, run.to_measure(plan, rows), store, executor, measure_one=slowly))
        return run.rows_of(plan, store), plan


def test_a_node_that_dies_mid_sweep_costs_nothing(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCK", 4)
    victim = local.add_node(num_cpus=1)
    killer = threading.Thread(target=kill_at_work, args=(local, victim))
    killer.start()
    on_ray, _ = swept(tmp_path / "ray", Cluster(local.address, "cpu"))
    killer.join()
    log = noted()
    assert sum(kind == "killed" for kind, _, _ in log), "the node was not killed in time"
    begun = Counter(name for kind, _, name in log if kind == "begin")
    assert max(begun.values()) == 2, "no task was lost and run again"
    assert len({where for kind, where, _ in log if kind == "end"}) == 3, "every node had work"

    here, plan = swept(tmp_path / "here", Processes())
    assert on_ray == here
    assert len(on_ray) == plan.rows
    assert all(row.measured for row in on_ray)
    for folder in ("ray", "here"):
        with closing(Database(tmp_path / folder / "results.db")) as opened:
            measured = Counter(row.record.target.name for row in opened.rows(ALL) if row.record.measured)
        assert measured == Counter(row.target.name for row in here)


def test_never_two_measurements_at_once_on_a_node(local: Any) -> None:
    """The log of the sweep above, and one more that no node leaves."""
    with closing(Cluster(local.address, "cpu")) as executor:
        assert len(executor.devices()) == 2
        assert {done.result for done in executor.measure(_alone, range(8))} == set(range(8))
    for where in {where for _, where, _ in noted()}:
        kinds = [kind for kind, at, _ in noted() if at == where and kind in ("begin", "end", "killed")]
        at_once = 0
        for kind in kinds[: kinds.index("killed")] if "killed" in kinds else kinds:
            at_once += 1 if kind == "begin" else -1
            assert at_once in (0, 1)


def _alone(task: int, device: str) -> int:
    assert device == "cpu"
    note("begin", node(), task)
    time.sleep(0.05)
    note("end", node(), task)
    return task


def _dies(task: int) -> int:
    if task == 3:
        os._exit(1)
    return task


def _fails(task: int) -> int:
    raise UsageError("refuses") if task else ValueError("a defect")


def test_what_kills_every_worker_is_given_up_and_the_rest_is_done(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "SUSPECT_S", 0.1)
    with closing(Cluster(local.address, "cpu")) as executor:
        results = {done.index: done.result for done in executor.compute(_dies, range(6))}
    assert f"lost {TRIES} times" in str(results.pop(3))
    assert results == {i: i for i in (0, 1, 2, 4, 5)}


def test_errors_come_back_and_defects_are_raised(local: Any) -> None:
    with closing(Cluster(local.address, "cpu")) as executor:
        (done,) = executor.compute(_fails, [1])
        assert isinstance(done.result, AnalyzerError)
        with pytest.raises(ValueError, match="a defect"):
            list(executor.compute(_fails, [0]))


def test_a_node_that_lacks_what_is_needed_is_told(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("def work(task):\n    return task\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    work = importlib.import_module("only_here").work
    (tmp_path / "only_here.py").unlink()
    with closing(Cluster(local.address, "cpu")) as executor, pytest.raises(UsageError, match="can't import"):
        list(executor.compute(work, [1]))


def test_another_version_on_a_node_is_refused(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "package_version", lambda: "9.9")
    with closing(Cluster(local.address, "cpu")) as executor, pytest.raises(UsageError, match=r"not 9\.9"):
        executor.devices()


def test_the_command_gives_the_same_rows(local: Any, tmp_path: Path) -> None:
    grid = ["--block", "dense", "--growth", "4:400", "--compression", "0.1:0.9:0.1", "--image", "32"]
    command = [sys.executable, "-m", "analyzer", "sweep", "--measure", "none", *grid]
    for more in (["--out", "here"], ["--out", "ray", "--executor", "ray", "--address", local.address]):
        subprocess.run([*command, *more], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    here, on_ray = (read_jsonl(tmp_path / folder / "results.jsonl")[0] for folder in ("here", "ray"))
    assert here == on_ray
    assert len(here) == 397 * 9 + 1


def test_a_device_that_the_cluster_has_not(local: Any) -> None:
    for device, says in (("cuda", "no GPU"), ("cuda:1", "one machine's")):
        with pytest.raises(UsageError, match=says):
            Cluster(local.address, device)
