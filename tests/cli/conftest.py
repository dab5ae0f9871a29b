"""The command as users run it: in this process, where torch is imported once for all tests; or in one of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from commands import run_command, run_here

from analyzer.measuring import exclusive, protocol, worker
from analyzer.measuring.job import Job
from analyzer.processes import Ended

Analyze = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def analyze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Analyze:
    """Runs the command in an empty folder and returns what it printed and its exit code."""

    def run(*args: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patched:
            for name, value in {"ANALYZER_DEBUG": "", **environment}.items():  # which --debug sets
                patched.setenv(name, value)
            return run_here(*args, cwd=cwd)

    return run


@pytest.fixture
def analyze_apart(tmp_path: Path) -> Analyze:
    """As `analyze`, in a process of its own."""

    def run(*args: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_command(*args, cwd=cwd, **environment)

    return run


@pytest.fixture
def _measured_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken in this process: no process starts, and no other's measurement is waited for."""

    def run(command: object, said: bytes, **_: object) -> Ended:
        return Ended(msgspec.json.encode(worker.work(msgspec.json.decode(said, type=Job))) + b"\n", b"", 0)

    monkeypatch.setattr(protocol.processes, "run", run)
    (tmp_path / "runtime").mkdir()
    monkeypatch.setattr(exclusive, "runtime_folder", lambda: tmp_path / "runtime")
