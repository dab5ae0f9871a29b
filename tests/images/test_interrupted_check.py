"""A check that is interrupted while its processes decode ends at once, and leaves none of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import folder_of

ROOT = Path(__file__).parents[2]
SLOW = """
import multiprocessing, time
multiprocessing.set_start_method("fork")
from analyzer.images import examining, folders

def slow(*args):
    open("begun", "w").close()
    time.sleep(0.1)
    return decode(*args)

decode, folders.decode, examining.FEW = folders.decode, slow, 1
from analyzer.cli import main
main(["data", "check", "data"])
"""


def left(folder: Path) -> list[str]:
    """The processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == folder:
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="where processes work is read from /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGKILL, -9), pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow)],
)
def test_it_ends_with_all_that_it_started(tmp_path: Path, number: int, code: int) -> None:
    folder_of(tmp_path / "data", {"a": 200, "b": 200})
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "begun").exists()
    process.send_signal(number)
    try:
        _, words = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in words
    while left(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left(tmp_path) == []
