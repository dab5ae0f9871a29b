"""The real command under the real torchrun."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from trainings import TINY, bits

from analyzer.storing.results_file import NAME
from analyzer.training.runs_file import RunsFile

ROOT = Path(__file__).parents[2]


def torchrun(data: Path, out: Path, *said: str, epochs: int = 3) -> subprocess.Popen[str]:
    """Two processes; torchrun finds a free port itself."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    what = ["-m", "analyzer", "train", TINY.name, "--data", str(data), "--out", str(out), "--epochs", str(epochs)]
    how = ["--batch", "6", "--threads", "1", "--image", "16", *said]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*launch, *what, *how], env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def begun(process: subprocess.Popen[str], out: Path) -> None:
    """Waits for the first epoch."""
    for _ in range(30_000):
        if list(out.glob("runs/*/last.safetensors")) or process.poll() is not None:
            break
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun started."""
    lines = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in lines if b"analyzer" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def finished(data: Path, out: Path) -> dict[str, Any]:
    """What a folder comes to, trained to its end."""
    errors = (process := torchrun(data, out, epochs=40)).communicate(timeout=600)[1]
    assert process.returncode == 0, errors
    return bits(out)


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finished(data, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.slow
def test_two_processes_train_one_network_and_one_of_them_speaks(data: Path, tmp_path: Path) -> None:
    words, errors = (process := torchrun(data, tmp_path, "--format", "log", epochs=1)).communicate(timeout=600)
    assert process.returncode == 0, errors
    assert words.count("Epoch: 1") == 1
    assert errors.count("2 processes share every batch of 6, 3 images each; batch norm (sync) over 6 images") == 1
    assert errors.count("kept in") == 1
    with closing(RunsFile(tmp_path / NAME)) as runs:
        (config,) = runs.configs().values()
    assert config.machine.processes == 2


@pytest.mark.slow
def test_an_error_of_the_first_is_told_once_with_its_exit_code(data: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{")
    _, errors = (process := torchrun(data, tmp_path)).communicate(timeout=600)
    assert process.returncode != 0
    assert errors.count("error: ") == 1
    assert re.search(r"rank +: 0 .*\n +exitcode +: 2 ", errors)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("how", ["Ctrl-C", "one is killed"])
def test_whatever_ends_torchrun_the_same_command_goes_on_to_the_same_bits(
    data: Path, tmp_path: Path, unbroken: dict[str, Any], how: str
) -> None:
    process = torchrun(data, tmp_path / "broken", epochs=40)
    begun(process, tmp_path / "broken")
    ranks = ranks_of(process)
    assert len(ranks) == 2
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        os.kill(ranks[1], signal.SIGKILL)
    began = time.monotonic()
    _, errors = process.communicate(timeout=600)
    assert time.monotonic() - began < 90  # long before anyone's patience ends
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    end = "interrupted: saved; the same" if how == "Ctrl-C" else "error: another process of this training has ended"
    assert end in errors
    assert finished(data, tmp_path / "broken") == unbroken


DRIVER = """
import sys
from pathlib import Path
from analyzer.targets.resolving import resolve
from analyzer.training.execution import execute
from analyzer.training.planning import TrainPlan, TrainWatch
from analyzer.training.recipe import Recipe

plan = TrainPlan(targets=(resolve(sys.argv[1]),), data=sys.argv[2], out=Path(sys.argv[3]), image=16, threads=1,
                 recipe=Recipe(epochs=300, batch=6), workers=1, cache_bytes=0)
print("interrupted" if execute(plan, TrainWatch()).interrupted else "done", flush=True)
"""


@pytest.mark.slow
def test_processes_that_decode_do_not_end_before_those_they_work_for(data: Path, tmp_path: Path) -> None:
    """torchrun tells whole process groups to end."""
    (tmp_path / "driver.py").write_text(DRIVER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*launch, str(tmp_path / "driver.py"), TINY.name, str(data), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    begun(process, tmp_path / "out")
    process.terminate()
    words, errors = process.communicate(timeout=600)
    assert words.split() == ["interrupted"] * 2, errors
