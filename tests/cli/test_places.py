"""Paths that can't be, and folders that are gone: 2 with the place, never a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import cli
from analyzer.cli.base import run

ROOT = Path(__file__).parents[2]
LONG = "a" * 5000
COMMANDS = [
    ["check", "--config", LONG], ["lock", "--config", LONG], ["init", LONG], ["history", "--config", LONG],
    ["check", "--output", f"json={LONG}"], ["results", "list", LONG], ["results", "show", LONG, "1"],
    ["results", "merge", LONG, "--out", f"{LONG}.db"], ["report", LONG], ["report", f"{LONG}.html"],
    ["sweep", "article", "--measure", "none", "--out", LONG], ["sweep", "article", "--profile", LONG],
    ["search", "--space", LONG], ["show", "article", "--report", LONG], ["compare", "article", LONG],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(word[:12] for word in command))
def test_a_path_that_is_too_long_is_wrong_use(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "analyzer.toml").write_text('[models.a]\ntarget = "article"\nbudgets.params = { max = "1G" }\n')
    assert run(cli, command) == 2, capsys.readouterr().err
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use can't be removed there")
@pytest.mark.parametrize(
    "words", ["check", "lock", "init", "history", "results list", "show net.py:build --input 1,8", "report results.db"]
)
def test_a_working_directory_that_is_gone_is_wrong_use(tmp_path: Path, words: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; os.rmdir({str(gone)!r}); from analyzer.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words.split()], cwd=gone, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 3), done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
