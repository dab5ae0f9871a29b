"""What doctor finds fault with."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from analyzer.measuring import trust
from analyzer.measuring.trust import allowed_cores, problems

CPU = torch.device("cpu")


def kinds() -> set[str]:
    return {problem.kind for problem in problems(CPU, quota=Path("/nowhere"))}


@pytest.fixture(autouse=True)
def a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: 1.0)
    monkeypatch.setattr(trust, "governor", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_a_quiet_machine_has_none() -> None:
    assert kinds() <= {"memory", "swap"}


def test_load_governor_and_threads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: 80.0)
    monkeypatch.setattr(trust, "governor", lambda: "powersave")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert {"load", "governor", "threads"} <= kinds()
    assert all(problem.what and problem.fix for problem in problems(CPU))


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("junk", None), (None, None)]
)
def test_a_containers_quota(text: str | None, cores: float | None, tmp_path: Path) -> None:
    path = tmp_path / "cpu.max"
    if text is not None:
        path.write_text(text)
    assert allowed_cores(path) == cores


def test_a_quota_below_the_cores_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    (tmp_path / "cpu.max").write_text("150000 100000")
    found = {problem.kind: problem for problem in problems(CPU, quota=tmp_path / "cpu.max")}
    assert "1.5 of 8 cores" in found["quota"].what
    assert found["quota"].fix == "say --threads 1"


def test_load_is_told_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, pid: int, user: str, percent: float) -> None:
            self.pid, self.user, self.percent = pid, user, percent

        def cpu_percent(self) -> float:
            return self.percent * (psutil.cpu_count() or 1)

        def username(self) -> str:
            return self.user

        def name(self) -> str:
            return f"work{self.pid}"

    found = [Process(11, "ada", 20.0), Process(12, "bob", 30.0), Process(13, "bob", 25.0), Process(14, "eve", 0.1)]
    monkeypatch.setattr(psutil, "process_iter", lambda: found)
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: 75.0)
    told = next(problem.what for problem in problems(CPU, quota=Path("/nowhere")) if problem.kind == "load")
    assert "bob 55 % (work12, pid 12); ada 20 % (work11, pid 11)" in told
    assert "eve" not in told
