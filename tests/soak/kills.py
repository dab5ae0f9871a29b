"""Kills at random moments: of runs whose times are known, and of the command itself."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from known import PLAN, expected
from trial import ENVIRONMENT, HERE, Trial

from analyzer.reading.latency import read_profile
from analyzer.records import Record
from analyzer.sweeping.database import ALL, Database

THERE = "with measured rows there"


def killed(kind: str, *more: str, longest: float) -> Trial:
    """A run that is killed at moments of its own, again and again in one folder, and then ends."""
    said: set[str] = set()

    def trial(chance: random.Random, folder: Path) -> str | None:
        place = folder.parent / kind
        if chance.random() < 0.2:  # now and then from the beginning
            shutil.rmtree(place, ignore_errors=True)
            said.clear()
        process = start(kind, place, *more)
        assert process.stdout is not None
        if chance.random() < 0.8:  # else while it starts
            for _ in range(chance.randint(1, 12)):
                said.update(line_of(process.stdout.readline()))
        time.sleep(chance.uniform(0, longest))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for line in process.communicate(timeout=600)[0].splitlines():
            said.update(line_of(line))
        there = require_kept(kind, place, said)
        if chance.random() < 0.1:
            ended = start(kind, place, *more)
            for line in ended.communicate(timeout=600)[0].splitlines():
                said.update(line_of(line))
            assert ended.returncode == 0, "the next run does not end"
            require_kept(kind, place, said)
            if kind in ("sweep", "ray"):
                assert len(measured_in(place)) == PLAN.rows, "the next run does not do the rest"
        return THERE if there else None

    return trial


def start(kind: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "work.py"), kind, str(folder), *more]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def line_of(line: str) -> list[str]:
    return line.split()[1:] if line.startswith("put") else []


def measured_in(folder: Path) -> list[Record]:
    if not (folder / "results.db").exists():
        return []
    with warnings.catch_warnings(), closing(Database(folder / "results.db")) as opened:
        warnings.simplefilter("error")
        return [row.record for row in opened.rows(ALL) if row.record.measured]


def require_kept(kind: str, folder: Path, said: set[str]) -> int:
    """No finished measurement is lost, doubled or wrong; how many there are."""
    if kind == "calibrate":
        if said:
            assert read_profile(folder / "profile.json").mean_error < 0.01, "a profile of other times"
        return len(said)
    rows = measured_in(folder)
    names = Counter(row.target.name for row in rows)
    assert set(names.values()) <= {1}, "a row twice"
    assert said <= set(names), f"lost: {said - set(names)}"
    for row in rows:
        assert row.measured is not None
        assert row.measured == expected(row.target.variant.name, row.measured.baseline), "another time"  # type: ignore[union-attr]
    return len(rows)


@contextlib.contextmanager
def nodes() -> Iterator[str]:
    """A Ray cluster of two nodes on this machine."""
    os.environ |= {name: ENVIRONMENT[name] for name in ("PYTHONPATH", "RAY_USAGE_STATS_ENABLED")}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        yield str(cluster.address)
    finally:
        cluster.shutdown()


# -- the command -----------------------------------------------------------------------------------------------

NET = """
import subprocess, time
from torch import nn


def build():
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    time.sleep({seconds})
    return nn.Linear(8, 8)
"""
CONFIG = '[models.net]\ntarget = "net.py:build"\ninput = [1, 8]\n[models.net.budgets]\nparams = { max = 100 }\n'
SMALL = ["--blocks", "1,1", "--block", "dense", "--growth", "4:16:2", "--image", "32", "--init", "8"]
SWEEP = ["sweep", *SMALL, "--compression", "0.5", "--measure", "all", "--time", "2m", "--device", "cpu", "--out", "out"]
COMMANDS = {
    "check": ["check"],
    "sweep": SWEEP,
    "measure": ["measure", "net.py:build", "--input", "1,8", "--device", "cpu", "--against", "densenet121"],
    "calibrate": ["calibrate", "--device", "cpu", "--out", "profile.json"],
}
MARK = "ANALYZER_SOAK"


def analyze(words: list[str], folder: Path, mark: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "analyzer", *words], cwd=folder, env={**ENVIRONMENT, MARK: mark}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def left(mark: str) -> list[int]:
    """Whatever has a command's mark: it, and all that it and its children started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def signalled(chance: random.Random, folder: Path) -> dict[str, float] | None:
    """A command ended by a signal at any moment: seconds until all that it started is gone, and until it is."""
    verb = chance.choice(list(COMMANDS))
    number = chance.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
    (folder / "net.py").write_text(NET.format(seconds=chance.choice([0, 600])))
    (folder / "analyzer.toml").write_text(CONFIG)
    mark = f"{os.getpid()}-{folder.name}-{time.monotonic_ns()}"
    process = analyze(COMMANDS[verb], folder, mark)
    if chance.random() < 0.8:  # else while it starts
        moment = time.monotonic() + 300
        while process.poll() is None and len(left(mark)) < 2 and time.monotonic() < moment:
            time.sleep(0.05)
    time.sleep(chance.uniform(0, 3))
    begin, over = time.monotonic(), process.poll() is not None
    process.send_signal(number)
    children = command = 0.0
    while (there := left(mark)) and time.monotonic() < begin + 60:
        now = time.monotonic() - begin
        children = now if set(there) - {process.pid} else children
        command = now if process.poll() is None else command
        time.sleep(0.005)
    errors = process.communicate(timeout=300)[1]
    assert not there, f"{verb}, {number.name}: {len(there)} processes are left"
    assert "Traceback" not in errors, errors[-500:]
    if not over:
        code = -number if number == signal.SIGKILL else 130
        assert process.returncode == code, f"{verb}, {number.name}: ended with {process.returncode}: {errors[-500:]}"
    return None if over else {"signal to the end of every child": children, "to that of the command": command}


def killed_command() -> Trial:
    """`analyze sweep` with real times, killed again and again: what was measured stays as it was."""
    before: dict[str, Record] = {}

    def trial(chance: random.Random, folder: Path) -> str | None:
        place = folder.parent / "command"
        place.mkdir(exist_ok=True)
        process = analyze(SWEEP, place, folder.name)
        time.sleep(chance.uniform(0, 60))
        process.kill()
        process.communicate()
        rows = measured_in(place / "out")
        assert len({row.target.name for row in rows}) == len(rows), "a row twice"
        now = {row.target.name: row for row in rows}
        assert before.items() <= now.items(), "a measurement is lost or another"
        before.update(now)
        return THERE if rows else None

    return trial
