"""Paths that can't be, and folders that are gone: 2 with the place, never a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import cli
from analyzer.cli.base import run
from analyzer.errors import UsageError
from analyzer.files import require_writable, write_text

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


# -- files to be written ---------------------------------------------------------------------------------------

NET = "from torch import nn\n\nopen('ran', 'w').close()\n\n\ndef build():\n    return nn.Linear(2, 2)\n"
OWN = ["net.py:build", "--input", "1,2"]
LATE = [
    ["calibrate", "--device", "nonsense", "--out", "BAD"],
    ["measure", *OWN, "--batch", "auto", "--out", "BAD"], ["measure", *OWN, "--memory", "--out", "BAD"],
    ["report", "absent.db", "--out", "BAD"], ["results", "export", "absent.db", "--out", "BAD"],
    ["show", *OWN, "--report", "BAD"], ["compare", "article", "net.py:build", "--input", "1,2", "--report", "BAD"],
    ["sweep", "--device", "nonsense", "--report", "BAD", "--out", "out"],
    ["search", "--profile", "absent.json", "--report", "BAD"],
    ["search", "--profile", "absent.json", "--export", "BAD.csv"], ["history", "--html", "BAD"],
]  # fmt: skip
"""Each has another fault too, or runs a model: both come to light only once it works."""


@pytest.mark.parametrize("command", LATE, ids=lambda command: " ".join([command[0], command[-2]]))
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "file").write_text("before")
    before = sorted(tmp_path.iterdir())
    words = [word.replace("BAD", str(tmp_path / "file" / "x")) for word in command]
    assert run(cli, words) == 2
    errors = capsys.readouterr().err
    assert "can't be written: Not a directory" in errors, errors
    assert str(tmp_path / "file" / "x") in errors
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["lock", "init"])
def test_a_lock_that_cannot_be_written_is_refused_before_a_model_is_built(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    if verb == "lock":
        (tmp_path / "analyzer.toml").write_text(
            '[models.a]\ntarget = "net.py:build"\nbudgets.params = { max = "1G" }\n'
        )
        (tmp_path / "analyzer.lock").mkdir()
    else:
        (tmp_path / "analyzer.lock").symlink_to(tmp_path / "pyproject.toml" / "lock")
        (tmp_path / "pyproject.toml").write_text("")
    assert run(cli, [verb]) == 2, capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def unwritable(folder: Path) -> dict[str, Path]:
    (folder / "file").write_text("before")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    return {
        "a folder": folder, "below a file": folder / "file" / "a" / "x", "below nothing": folder / "dangling" / "x",
        "in a loop": folder / "loop" / "x", "a pipe": folder / "pipe", "a device": Path("/dev/null"),
        "a long name": folder / ("x" * 300), "below a long name": folder / "a" / ("b" * 300) / "x",
        "a long path": folder / "/".join(["d" * 200] * 40), "no name": Path(), "the folder above": folder / "a" / "..",
        "where the system writes": Path("/proc/nowhere/x"), "a NUL": folder / "a\0b",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the places are Linux's")
def test_what_is_known_before_is_what_is_found_then_and_leaves_nothing(tmp_path: Path) -> None:
    bad = unwritable(tmp_path)
    before = sorted(tmp_path.iterdir())
    for name, path in bad.items():
        for attempt in (require_writable, lambda path: write_text(path, "text")):
            with pytest.raises(UsageError) as raised:
                attempt(path)
            assert raised.value.exit_code == 2, name
        assert sorted(tmp_path.iterdir()) == before, name
    assert Path("/dev/null").is_char_device()
    for path in (tmp_path / "new", tmp_path / "a" / "b" / "new", tmp_path / "file"):
        require_writable(path)
        assert sorted(tmp_path.iterdir()) == before
    for path in (tmp_path / "new", tmp_path / "a" / "b" / "new", tmp_path / "file", tmp_path / "dangling"):
        write_text(path, "text")
        assert path.read_text() == "text"
    assert not list(tmp_path.rglob("*.tmp"))
