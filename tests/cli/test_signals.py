"""However a command is ended, it takes along every process that it started, and those that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.architecture.variant import Variant

ROOT = Path(__file__).parents[2]
NET = """
import subprocess, time
from torch import nn


def build():
    subprocess.Popen(["sleep", "{asleep}"], start_new_session=True)
    open("begun", "w").close()
    time.sleep(600)
    return nn.Linear(8, 8)
"""
CONFIG = '[models.net]\ntarget = "net.py:build"\ninput = [1, 8]\n[models.net.budgets]\nparams = {{ max = 10 }}\n'
TINY = Variant(block="dense", block_config=(1,), growth=4, init=8, image=32).name
COMMANDS = {
    "check": ["check"],
    "show": ["show", "net.py:build", "--input", "1,8"],
    "sweep": ["sweep", TINY, "--measure", "all", "--time", "10m", "--device", "cpu", "--out", "out"],
    "calibrate": ["calibrate", "--device", "cpu"],
    "measure": ["measure", "net.py:build", "--input", "1,8", "--device", "cpu", "--against", TINY],
}
OWN = ("sweep", "calibrate")
"""What runs no user's code: it has begun where there are a keeper and a worker beside it."""
NUMBERS = {name: getattr(signal, f"SIG{name}", None) for name in ("TERM", "HUP", "INT", "KILL")}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a keeper is told of its parent's end by Linux")


def left(asleep: str, folder: Path) -> list[str]:
    """The command lines of what is still there: the sleeper, and whatever runs in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if line and (asleep in line or (path / "cwd").readlink() == folder):
                found.append(line)
        except OSError:
            continue
    return found


def begun(command: list[str], folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The command, once its model's code is running, and the sleeper's word."""
    asleep = f"{600 + os.getpid() % 1000}.{time.monotonic_ns() % 10**9}"
    (folder / "net.py").write_text(NET.format(asleep=asleep))
    (folder / "analyzer.toml").write_text(CONFIG.format())
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline, there = time.monotonic() + 240, False
    while not there and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        there = (folder / "begun").exists() or (command[0] in OWN and len(left(asleep, folder)) > 2)
    assert there, process.communicate()[1]
    return process, asleep


CASES = [("check", "TERM"), ("check", "KILL")]
MORE = [(verb, name) for verb in COMMANDS for name in NUMBERS if (verb, name) not in CASES]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "name"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)])
def test_what_ends_a_command_ends_all_that_it_started(tmp_path: Path, verb: str, name: str) -> None:
    process, asleep = begun(COMMANDS[verb], tmp_path)
    assert len(left(asleep, tmp_path)) >= 3  # the command, the worker, the sleeper
    process.send_signal(NUMBERS[name] or signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == (-signal.SIGKILL if name == "KILL" else 130), errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 300  # a second on a machine that does nothing else
    while left(asleep, tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left(asleep, tmp_path) == []


EXECUTES = """
import analyzer.cli as cli

def run(group, args):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130

cli.run = run
cli.main()
"""


def test_an_interruption_wherever_it_falls_ends_with_its_code(tmp_path: Path) -> None:
    """`python -m` ends by SIGINT itself, whatever its code is to be, where one falls into an `exec`."""
    (tmp_path / "interrupted.py").write_text(EXECUTES)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 130
