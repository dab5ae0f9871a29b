"""The CI gate as a whole process: a variant of the family without torch, a model of one's own beside its own import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUNDS = 5


def gate() -> Iterator[tuple[str, list[float], str]]:
    """Seconds of a family model's check, and how many times its own import an imported model's check takes."""
    analyze = [sys.executable, "-P", "-m", "analyzer", "check", "--model"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples" / "budget", folder, dirs_exist_ok=True)
        commands = {
            "family": [*analyze, "compressed"],
            "own": [*analyze, "cnn"],
            "import": [sys.executable, "-c", "import cnn; cnn.build()"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
                times[name].append(time.perf_counter() - start)
    yield "check.family_s", times["family"], "s"
    ratios = [own / imported for own, imported in zip(times["own"], times["import"], strict=True)]
    yield "check.own_model_vs_its_import", ratios, "x"
