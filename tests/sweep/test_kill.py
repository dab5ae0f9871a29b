"""kill -9 at any moment loses no finished row and doubles none; the next run does the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from analyzer.sweeping.database import ALL, Database
from analyzer.sweeping.store import read_jsonl

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
KILLS = 100
BLOCKS, SIZE = 60, 5
SWEEP = f"""
import sys
from pathlib import Path
from analyzer.records import Record, Remark, Target
from analyzer.sweeping.results_store import open_store

store = open_store(Path(sys.argv[1]))
there = store.counted(1)
print("there", len(there), flush=True)
for block in range({BLOCKS}):
    names = [f"{{block}}.{{i}}" for i in range({SIZE})]
    missing = [name for name in names if name not in there]
    if missing:
        remarks = (Remark(kind="note", text="x" * 300),)
        store.put([Record(target=Target(name=name), params=block, remarks=remarks) for name in missing])
        print("put", *missing, flush=True)
store.close()
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(folder)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )


def names_in(folder: Path) -> list[str]:
    if not (folder / "results.db").exists():
        return []
    with closing(Database(folder / "results.db")) as opened:
        return [row.record.target.name for row in opened.rows(ALL)]


def kill_somewhere(folder: Path, chance: random.Random) -> list[str]:
    """Kills a run while it starts, or a moment after some of its puts; returns the names that it said were put."""
    process = start(folder)
    assert process.stdout is not None
    said = []
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0, 0.15))
    else:
        said = [process.stdout.readline() for _ in range(chance.randint(1, 8))]
        time.sleep(chance.uniform(0, 0.003))
    process.send_signal(signal.SIGKILL)
    said += process.communicate(timeout=300)[0].splitlines()
    return [name for line in said if line.startswith("put") for name in line.split()[1:]]


@pytest.mark.slow
def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(20260131)
    expected = [f"{block}.{i}" for block in range(BLOCKS) for i in range(SIZE)]
    finished = 0
    folder, put = tmp_path / "0", list[str]()
    for _ in range(KILLS):
        put += kill_somewhere(folder, chance)
        found = names_in(folder) if chance.random() < 0.5 else put  # else what the kill left is the next run's to find
        assert len(set(found)) == len(found)
        assert set(put) <= set(found) <= set(expected)
        if len(found) == len(expected):
            finished += 1
            folder, put = tmp_path / str(finished), []
    assert finished, "the kills left some run the time to end"
    assert start(folder).wait(timeout=300) == 0
    for path in tmp_path.iterdir():
        assert names_in(path) == expected


@pytest.mark.slow
def test_a_killed_sweep_resumes_to_what_an_uninterrupted_one_gives(tmp_path: Path) -> None:
    grid = ["--block", "dense", "--growth", "4:400", "--compression", "0.1:0.9:0.1", "--image", "32,64"]
    command = [sys.executable, "-m", "analyzer", "sweep", "--measure", "none", *grid, "--out"]
    chance = random.Random(7)
    for _ in range(4):
        process = subprocess.Popen(
            [*command, "killed"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (tmp_path / "killed" / "results.db").exists():
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.5))
        process.kill()
        process.wait(timeout=300)
    for folder in ("killed", "whole"):
        subprocess.run([*command, folder], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True, timeout=300)
    killed, whole = (read_jsonl(tmp_path / folder / "results.jsonl")[0] for folder in ("killed", "whole"))
    assert killed == whole
    assert sorted(names_in(tmp_path / "killed")) == sorted(row.target.name for row in whole)


def test_a_killed_search_leaves_no_process_behind(tmp_path: Path) -> None:
    space = ["--growth", "4:1000", "--init", "8:200", "--compression", "0.1:1:0.01", "--time", "5m", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", "search", *space],
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    workers = list[psutil.Process]()
    end = time.monotonic() + 300
    while len(workers) < 2 and time.monotonic() < end:
        workers = psutil.Process(process.pid).children()
        time.sleep(0.05)
    assert len(workers) == 2
    process.kill()
    process.wait(timeout=300)
    assert psutil.wait_procs(workers, timeout=300)[1] == []
