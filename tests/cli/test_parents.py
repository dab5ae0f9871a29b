"""A worker ends with its parent also where no system tells it so: by a pipe that the parent alone holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ALONE = "from analyzer import processes; processes._prctl = lambda *_: None"
KEPT = f"""
import os, sys, time
{ALONE}
sys.platform = "another"
processes.keep(int(sys.argv[1]), int(sys.argv[2]))
open(f"worker-{{os.getpid()}}", "w").close()
time.sleep(600)
"""
RUNS = f"""
import os, sys
from analyzer import processes
processes.run([sys.executable, "-c", {KEPT!r}], b"", seconds=600, variables=os.environ)
"""
POOLS = f"""
import os, time
from concurrent.futures import ProcessPoolExecutor
{ALONE}

def work(number):
    open(f"worker-{{os.getpid()}}", "w").close()
    time.sleep(600)

with ProcessPoolExecutor(2, initializer=processes.as_worker) as pool:
    list(pool.map(work, range(2)))
"""


@pytest.mark.skipif(os.name != "posix", reason="descriptors are handed on there")
@pytest.mark.parametrize(("code", "workers"), [(RUNS, 1), (POOLS, 2)], ids=["a command", "a pool"])
def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path: Path, code: str, workers: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    there: list[psutil.Process] = []
    while len(there) < workers and parent.poll() is None:
        there = [psutil.Process(int(path.name.split("-")[1])) for path in tmp_path.glob("worker-*")]
        time.sleep(0.02)
    assert len(there) == workers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert psutil.wait_procs(there, timeout=300)[1] == []
