"""One measurement at a time on a device, across processes, whatever ends them."""

from __future__ import annotations

import fcntl
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes import measurement

from analyzer.errors import MeasureError
from analyzer.executors.executor import Processes
from analyzer.files import lock_is_held
from analyzer.measurements import Measurement
from analyzer.measuring import exclusive as exclusive_module
from analyzer.measuring.calibration import calibrate
from analyzer.measuring.exclusive import BusyError, device_clock, exclusive, holders, patience, runtime_folder
from analyzer.measuring.protocol import rounds
from analyzer.processes import Ended
from analyzer.searching.study import run_study
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.store import MemoryStore

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
TAKES = """
import sys, time
from pathlib import Path
from analyzer.measuring.exclusive import exclusive
folder, name, device = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for _ in range(10):
    with exclusive(device, folder):
        with (folder / "log").open("a") as log:
            log.write(f"{name} begin\\n"); log.flush()
            time.sleep(0.02)
            log.write(f"{name} end\\n")
"""
LEAVES_A_CHILD = """
import subprocess, sys, time
from pathlib import Path
from analyzer.measuring.exclusive import exclusive
with exclusive("cpu", Path(sys.argv[1])) as lock:
    subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=lock)
    print("locked", flush=True)
    time.sleep(600)
"""


def start(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def locked(folder: Path) -> bool:
    """Whether anybody holds the CPU, by the system's own lock on its file."""
    (path,) = folder.glob("*cpu*.lock")
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_two_processes_take_turns(tmp_path: Path) -> None:
    for process in [start(TAKES, tmp_path, name, "cpu") for name in "ab"]:
        assert process.wait(timeout=300) == 0
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len(lines) == 40
    for (name, begins), (same, ends) in zip(lines[::2], lines[1::2], strict=True):
        assert (name, begins, ends) == (same, "begin", "end")


def test_a_child_holds_the_device_past_its_parents_death(tmp_path: Path) -> None:
    parent = start(LEAVES_A_CHILD, tmp_path)
    assert parent.stdin is not None
    assert parent.stdout is not None
    assert parent.stdout.readline() == "locked\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=300)
    assert locked(tmp_path)
    parent.stdin.close()  # what the child waits for
    with exclusive("cpu", tmp_path):
        assert locked(tmp_path)
    with exclusive("mps", tmp_path):  # another device waits for nobody
        pass


def test_no_place_for_the_lock(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="can't lock"), exclusive("cpu", tmp_path / "absent"):
        pass


def test_a_measuring_process_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.measurements import Conditions
    from analyzer.measuring import protocol
    from analyzer.measuring.job import Job, Subject

    held = []

    def run(*_: object, descriptors: tuple[int, ...], **__: object) -> Ended:
        probe = "import fcntl,sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        done = subprocess.run(
            [sys.executable, "-c", probe, os.readlink(f"/proc/self/fd/{descriptors[0]}")], capture_output=True
        )
        held.append(b"BlockingIOError" in done.stderr)
        return Ended(b"{}\n", b"", 0)

    monkeypatch.setattr(protocol.processes, "run", run)
    one = Subject(name="x")
    protocol.ask(Job(model=one, baseline=one, device="cpu", batch=1, conditions=Conditions()))
    assert held == [True]


HOLDS = """
import sys, time
from pathlib import Path
from analyzer.measuring.exclusive import exclusive
with exclusive("cpu", Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that measures until its stdin ends."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    words: list[str] = []
    monkeypatch.setattr(patience, "tell", words.append)
    return words


def test_waiting_says_for_whom_and_since_when_and_has_a_bound(
    tmp_path: Path, holder: subprocess.Popen[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "seconds", 0.2)
    with pytest.raises(BusyError, match=f"pid {holder.pid}") as raised, exclusive("cpu", tmp_path):
        pass
    assert (raised.value.exit_code, "--wait" in raised.value.where) == (3, True)
    assert len(told) == 1
    assert f"pid {holder.pid}" in told[0]
    assert f"since {datetime.now(UTC).astimezone():%Y-%m-%dT}" in told[0]
    assert list(holders(tmp_path)) == [("cpu", told[0].split(": ", 1)[1].split(" measures")[0])]
    assert holder.stdin is not None
    holder.stdin.close()
    monkeypatch.setattr(patience, "seconds", 60.0)
    with exclusive("cpu", tmp_path):
        pass
    assert list(holders(tmp_path)) == []


TAKES_TWICE = """
import sys
from pathlib import Path
from analyzer.measuring.exclusive import exclusive
folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for _ in range(times):
    with exclusive("cpu", folder):
        with (folder / "log").open("a") as log:
            log.write(name)
        print("locked", flush=True)
        sys.stdin.readline()
"""


def test_who_has_measured_stands_behind_who_waits(tmp_path: Path) -> None:
    """One that measures again and again leaves the other its turn."""
    again = start(TAKES_TWICE, tmp_path, "a", 2)
    assert again.stdin is not None
    assert again.stdout is not None
    assert again.stdout.readline() == "locked\n"
    waits = start(TAKES_TWICE, tmp_path, "b", 1)
    (queue,) = tmp_path.glob("*cpu*.queue")
    deadline = time.monotonic() + 300
    while not lock_is_held(queue):  # until the other one stands in it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    again.stdin.write("\n\n")  # ends, and asks again at once
    again.stdin.flush()
    waits.communicate("\n", timeout=300)
    again.communicate(timeout=300)
    assert (again.returncode, waits.returncode) == (0, 0)
    assert (tmp_path / "log").read_text() == "aba"


class FakeTime:
    """Sleeping takes no time and moves the clock; once it is late, it ends who holds the device."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        self.now, self.holder = 1000.0, holder

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        self.now += 100.0
        if self.now > 1500.0:
            self.holder.kill()
            self.holder.wait()


def test_waiting_for_another_takes_none_of_the_time_for_measuring(
    tmp_path: Path, holder: subprocess.Popen[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeTime(holder)
    monkeypatch.setattr(exclusive_module, "time", fake)
    monkeypatch.setattr(patience, "seconds", 1e6)
    plan = run.plan(Grid(blocks=[(1, 1)], growth=[4, 8], compression=[0.5], block=["dense"]), measure="all", seconds=60)
    shares = []

    def measure_one(timing: run.Timing, device: str) -> Measurement:
        shares.append(timing.seconds)
        with exclusive("cpu", tmp_path):
            fake.now += 6.0
        return measurement(1.0, timing.baseline.name)

    store = MemoryStore()
    rows = list(run.count(plan, store))
    made = list(run.measure(plan, run.to_measure(plan, rows), store, Processes(), measure_one=measure_one))
    assert len(told) == 1
    assert fake.now > 1500  # far more than 60 s were waited for
    assert [row.measured is not None for row in made] == [True] * 3
    assert shares == [pytest.approx(60 / 3), pytest.approx(54 / 2), pytest.approx(48)]
    for verb in (run.measure, rounds, calibrate, run_study):
        assert inspect.signature(verb).parameters["clock"].default is device_clock


def test_the_clock_stands_while_any_thread_waits(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    monkeypatch.setattr(patience, "tell", lambda _: waits.set())

    def turn() -> None:
        with exclusive("cpu", tmp_path):
            pass

    threads = [threading.Thread(target=turn, daemon=True) for _ in range(2)]
    start = device_clock()
    threads[0].start()
    assert waits.wait(300)
    standing = device_clock()
    threads[1].start()
    time.sleep(0.02)
    assert standing == device_clock() >= start
    holder.kill()
    for thread in threads:
        thread.join(300)
    later = device_clock()
    time.sleep(0.002)
    assert standing <= later < device_clock()


@pytest.mark.parametrize(
    "content", [b"", b'{"pid": 1, "since": "x", "command": "\xc3', b"\xff", b"[]", b'{"pid": "x"}']
)
def test_a_holder_that_was_killed_as_it_signed_is_told_as_one(
    tmp_path: Path, holder: subprocess.Popen[str], told: list[str], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (path,) = tmp_path.glob("*.lock")
    path.write_bytes(content)
    monkeypatch.setattr(patience, "seconds", 0.0)
    with pytest.raises(BusyError, match="another process"), exclusive("cpu", tmp_path):
        pass
    assert list(holders(tmp_path)) == [("cpu", "a process that did not sign")]


def test_any_command_line_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["analyze", "measure", "\udcff.py:build", "\x1b[2J"])
    with exclusive("cpu", tmp_path):
        ((device, who),) = holders(tmp_path)
    assert (device, "\\udcff.py:build \\u001b[2J" in who) == ("cpu", True)


def test_the_lock_lies_where_only_this_user_writes() -> None:
    found = runtime_folder().stat()
    assert (found.st_uid, found.st_mode & 0o022) == (os.getuid(), 0)
