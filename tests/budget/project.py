"""A real project in a real git repository: the example's files, the real command, branches and edits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands import run_here

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "budget"
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.test", "-c", "commit.gpgsign=false")


class Project:
    """A folder with models and budgets, under git."""

    def __init__(self, folder: Path, *, example: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if example:
            for path in EXAMPLE.iterdir():
                if path.is_file():
                    (folder / path.name).write_bytes(path.read_bytes())
        self.git("init", "--quiet", "--initial-branch=main")
        if example:
            self.commit("The models and what they cost")

    def git(self, *args: str) -> str:
        done = subprocess.run(["git", *IDENTITY, *args], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        self.git("checkout", "--quiet", "-b", name)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def read(self, file: str) -> str:
        return (self.folder / file).read_text(encoding="utf-8")

    def run(self, *args: str, cwd: str = ".") -> subprocess.CompletedProcess[str]:
        """The real command within this process: torch is imported once for all tests."""
        return run_here(*args, cwd=self.folder / cwd)

    def run_process(self, *args: str, cwd: str = ".", **environment: str) -> subprocess.CompletedProcess[str]:
        """The real command in a process of its own."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "analyzer", *args],
            cwd=self.folder / cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def check(self, *args: str, cwd: str = ".") -> tuple[int, dict[str, Any]]:
        """The exit code and the verdict as JSON."""
        done = self.run("check", "--output", "json", *args, cwd=cwd)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)


def kinds(verdict: dict[str, Any], level: str | None = None) -> list[str]:
    """The kinds of the findings, of one level or of all."""
    return [f["kind"] for f in verdict["findings"] if level is None or f["level"] == level]


def finding(verdict: dict[str, Any], kind: str, **facts: Any) -> dict[str, Any]:
    """The one finding of a kind with these facts."""
    fitting = [f for f in verdict["findings"] if f["kind"] == kind and all(f[k] == v for k, v in facts.items())]
    assert len(fitting) == 1, [(f["kind"], f["what"]) for f in verdict["findings"]]
    return fitting[0]
